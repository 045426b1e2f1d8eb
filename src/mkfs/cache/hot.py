"""Hot chunks: hashed bytes in private memory, by their own digest, and one load per chunk however many threads want it.

Theory. The key is the sha256 of the bytes, so an entry can never be stale or of the wrong layer: it is right for whoever asks for
that digest. Loading runs in the thread that came first; the others wait for it and, if it failed, try for themselves, because their
copy on disk may be another. Locks are held for look-ups only, never while a disk is read.
"""

import threading
from collections.abc import Callable
from typing import Final, final

from cachetools import LRUCache
from msgspec import Struct, field

from mkfs.units import KIB

# A chunk of a few bytes still sits in pages of its own: without this, 32 MiB could mean a million of them.
_LEAST_BYTES: Final = 8 * KIB


class _Load(Struct, eq=False):
    ended: threading.Event = field(default_factory=threading.Event)
    chunk: memoryview | None = None


@final
class HotChunks:
    """Least recently used chunks, up to `limit_bytes` (at least one chunk). Any thread may call."""

    __slots__ = ("_chunks", "_loads", "_lock")

    def __init__(self, limit_bytes: int) -> None:
        self._lock = threading.Lock()
        self._chunks: LRUCache[bytes, memoryview] = LRUCache(limit_bytes, getsizeof=_size_of)
        self._loads: dict[bytes, _Load] = {}

    def get(self, digest: bytes) -> memoryview | None:
        """The chunk with this raw sha256, if it is hot. Never waits for a disk."""
        with self._lock:
            return self._chunks.get(digest)

    def get_or_load(self, digest: bytes, load: Callable[[], memoryview]) -> memoryview:
        """The chunk; where it is not hot, what `load` reads and has checked against `digest`. Blocks, raises as `load`."""
        while True:
            with self._lock:
                hot = self._chunks.get(digest)
                if hot is not None:
                    return hot
                current = self._loads.get(digest)
                first = current is None
                if current is None:
                    current = self._loads[digest] = _Load()
            if first:
                return self._run(digest, current, load)
            current.ended.wait()
            if current.chunk is not None:
                return current.chunk

    def _run(self, digest: bytes, mine: _Load, load: Callable[[], memoryview]) -> memoryview:
        try:
            chunk = mine.chunk = load()
        finally:
            with self._lock:
                if mine.chunk is not None:
                    self._chunks[digest] = mine.chunk
                del self._loads[digest]
            mine.ended.set()
        return chunk

    def clear(self) -> None:
        """Forgets all chunks."""
        with self._lock:
            self._chunks.clear()


def _size_of(chunk: memoryview) -> int:
    return max(len(chunk), _LEAST_BYTES)
