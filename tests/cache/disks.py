"""What lies behind a file: its place on the disk, which can be made to rot, and its pages in memory."""

import array
import fcntl
import os
from pathlib import Path

from mkfs.cache.files import OpenFile
from mkfs.cache.page_cache import PageCache
from tests.cache.material import flip


def physical_offset(path: Path, offset: int) -> int:
    """Where byte `offset` of the file lies on its disk (ioctl FIBMAP, which only root may ask)."""
    with path.open("rb") as file:
        block_bytes = array.array("i", [0])
        fcntl.ioctl(file, 2, block_bytes)  # FIGETBSZ
        block = array.array("i", [offset // block_bytes[0]])
        fcntl.ioctl(file, 1, block)  # FIBMAP
        return block[0] * block_bytes[0] + offset % block_bytes[0]


def rot(image: Path, path: Path, offset: int) -> None:
    """Flips a bit on the disk, behind the file system's back."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    place = physical_offset(path, offset)
    assert place > 0
    flip(image, place)


def residents(path: Path) -> int:
    """How many pages of the file are in memory. Brings none in."""
    return PageCache(cachestat=True).count(OpenFile(os.open(path, os.O_RDONLY)), 0, path.stat().st_size)
