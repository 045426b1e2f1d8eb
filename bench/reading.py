"""Reading as `cat` does: file after file, large reads one after another, to nowhere."""

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from io import FileIO
from pathlib import Path
from time import perf_counter
from typing import Final

from mkfs.cache.files import OpenFile
from mkfs.cache.page_cache import PageCache
from mkfs.units import MIB

READ_BYTES: Final = 16 * MIB


def files_below(root: Path) -> list[Path]:
    """All files, in the order of their names."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def read_all(paths: Iterable[Path]) -> int:
    """Opens and reads each file to its end; how many bytes came."""
    buffer = bytearray(READ_BYTES)
    total = 0
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                total += count
    return total


@contextmanager
def opened(paths: Iterable[Path]) -> Iterator[list[FileIO]]:
    """The files, open: whoever reads them later asks for nothing but their bytes."""
    with ExitStack() as stack:
        yield [stack.enter_context(path.open("rb", buffering=0)) for path in paths]


def read_opened(files: Iterable[FileIO]) -> float:
    """Reads open files from start to end; how many seconds it took."""
    buffer = bytearray(READ_BYTES)
    started = perf_counter()
    for file in files:
        file.seek(0)
        while file.readinto(buffer):
            pass
    return perf_counter() - started


def missing_pages(files: Iterable[FileIO]) -> int:
    """How many pages of these files the page cache does not hold (cachestat(2), Linux 6.5). Reads none of them."""
    page_cache = PageCache(cachestat=True)
    missing = 0
    for file in files:
        size_bytes = os.fstat(file.fileno()).st_size
        there = page_cache.count(OpenFile(os.dup(file.fileno())), 0, size_bytes) if size_bytes else 0
        missing += -(-size_bytes // mmap.PAGESIZE) - there
    return missing


def sums(root: Path) -> dict[str, str]:
    """The sha256 of every file below `root`, by its path from there."""
    return {str(path.relative_to(root)): _sum(path) for path in files_below(root)}


def drop_pages(paths: Iterable[Path]) -> None:
    """Lets the page cache forget the files, which must be on the disk (`os.sync`) for that."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sum(path: Path) -> str:
    hashed = sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            hashed.update(piece)
    return hashed.hexdigest()
