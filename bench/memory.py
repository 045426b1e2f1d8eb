"""The memory that a turn finds: the same for everybody, or the machine is measured instead of the program.

A virtual machine may give memory that nobody uses back to its host (free page reporting, a balloon). Whoever takes such a page
later waits for the host: some microseconds for each, seconds for each GiB, where another page costs a fifth of one. Whether a turn
meets many of them depends on what was freed before it and in which pieces. `Steady` keeps all memory in use but what a turn needs,
and touches that before each turn.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol, final

from mkfs.units import GIB, KIB, MIB

_PROBE_BYTES: Final = 512 * MIB  # more than what a host is likely to have left us by chance
_CACHED: Final = re.compile(r"^Cached:\s+([0-9]+) kB$", re.MULTILINE)
_FREE: Final = re.compile(r"^MemFree:\s+([0-9]+) kB$", re.MULTILINE)
# Of the large kit's size: cache, the kernel's pages of the mount, the registry's files, and oras' copy, twice for good measure.
_KEPT_FREE: Final = 8
_TOUCHED: Final = 6
_LEAST_FREE_BYTES: Final = 4 * GIB  # for the rest of the machine


def fresh_page_microseconds() -> float:
    """What a page costs that was not in use: about 0.2 where the memory is ours, several where a host has to give it."""
    started = perf_counter()
    touched = _touch(_PROBE_BYTES)
    seconds = perf_counter() - started
    touched.close()
    return seconds * 1e6 / (_PROBE_BYTES / mmap.PAGESIZE)


class Ground(Protocol):
    """How memory is made ready for a turn."""

    def prepare(self) -> None:
        """To be called right before each turn."""


@final
class AsItIs:
    """Leaves memory alone."""

    def prepare(self) -> None:
        """Does nothing."""


@final
class Steady:
    """Holds memory. Made by `steady`."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        spare = _free_bytes() - max(_LEAST_FREE_BYTES, _KEPT_FREE * size_bytes)
        self._held = _touch(spare) if spare > 0 else None

    def prepare(self) -> None:
        """Touches what the next turn will take."""
        _touch(min(_TOUCHED * self._size_bytes, _free_bytes() * 3 // 4)).close()

    def close(self) -> None:
        """Lets go."""
        if self._held is not None:
            self._held.close()


@contextmanager
def steady(size_bytes: int) -> Iterator[Ground]:
    """Holds memory for the length of the block, for turns with a kit of `size_bytes`."""
    held = Steady(size_bytes)
    try:
        yield held
    finally:
        held.close()


def page_cache_bytes() -> int:
    """What the kernel keeps of files, of all file systems together."""
    return _meminfo(_CACHED)


def _touch(size_bytes: int) -> mmap.mmap:
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)


def _free_bytes() -> int:
    return _meminfo(_FREE)


def _meminfo(wanted: re.Pattern[str]) -> int:
    found = wanted.search(Path("/proc/meminfo").read_text("ascii"))
    return int(found[1]) * KIB if found else 0
