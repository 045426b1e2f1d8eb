"""What lies behind a file: its place on the disk, which can be made to rot, its pages in memory; a mount that answers nobody."""

import array
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def silent_mount(place: Path, *, alive: bool) -> Iterator[None]:
    """A mount as ours are, whose process answers nobody, or is dead."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    words = ["mount", "-i", "-t", "fuse.kitfs", "-o", options, "ours", place]
    # By mount(2), as libfuse does it: with the newer calls util-linux 2.41 forgets what is behind the dot.
    by_mount2 = {**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"}
    subprocess.run(words, env=by_mount2, check=True, pass_fds=[device])
    try:
        if not alive:
            os.close(device)
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        if alive:
            os.close(device)
