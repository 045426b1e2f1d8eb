"""Counts of what the cache did since it was opened, for `status`, metrics and tests."""

import threading
from typing import final

from msgspec import Struct


@final
class CacheStatistics(Struct, frozen=True):
    """A moment's counts. A hit is one read of a layer that the cache answered in full."""

    memory_hits: int = 0  # answered at once: hot chunks or the page cache
    memory_bytes: int = 0
    disk_hits: int = 0  # answered by a thread that could have waited for the disk
    disk_bytes: int = 0
    hashed_chunks: int = 0  # read whole from the disk and found right
    damaged: int = 0  # chunks, files, indexes and documents that were not what they should be; none was served
    published: int = 0  # layers that became readable through us
    published_bytes: int = 0
    stored_chunks: int = 0  # published one by one through us
    stored_bytes: int = 0
    evicted: int = 0  # layers, documents and indexes that went to make room for us
    evicted_bytes: int = 0
    documents: int = 0  # small documents answered


@final
class Counters:
    """The counts behind the snapshots. Any thread may count."""

    __slots__ = ("_lock", "_values")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, int] = {}

    def add(self, **increments: int) -> None:
        """Adds to counts, named as in `CacheStatistics`."""
        with self._lock:
            for name, increment in increments.items():
                self._values[name] = self._values.get(name, 0) + increment

    def snapshot(self) -> CacheStatistics:
        """The counts now."""
        with self._lock:
            return CacheStatistics(**self._values)
