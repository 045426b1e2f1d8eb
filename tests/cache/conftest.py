"""Fixtures of the cache's tests: a cache on the disk below the test's directory, and small file systems of other kinds."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.units import MIB
from tests.cache.workers import Start, Worker


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the cache of the test is, or will be."""
    return tmp_path / "cache"


@pytest.fixture
def cache(root: Path) -> Iterator[Cache]:
    """An open cache at `root` that leaves nothing free: how full the machine's disk is does not matter to a test."""
    cache = Cache.open(root, min_free_ratio=0)
    yield cache
    cache.close()


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts processes that have the cache at `root` open. Gone after the test."""
    with ExitStack() as stack:

        def begin(size_limit_bytes: int | None = None) -> Worker:
            worker = Worker(root, size_limit_bytes)
            stack.callback(worker.kill)
            return worker

        yield begin


Mount = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system below the test's directory: `mounted("tmpfs", "size=1m")`. Gone after the test."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    with ExitStack() as stack:

        def mount(kind: str, options: str, device: str = "none") -> Path:
            place = tmp_path / f"on-{kind}"
            place.mkdir()
            done = subprocess.run(
                ["mount", "-t", kind, "-o", options, device, place], check=False, stderr=subprocess.PIPE, text=True
            )
            if done.returncode:
                pytest.skip(f"cannot mount {kind}: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", place], check=True)
            return place

        yield mount


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file that is the disk under `disk`: what is changed in it, the file system above does not notice."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", "4096", path], check=True)
    return path


@pytest.fixture
def disk(mounted: Mount, image: Path) -> Iterator[Path]:
    """The root of a cache on an ext4 of its own, whose disk can be made to rot. Its blocks are the largest that disks have."""
    attach = ["losetup", "--find", "--show", "--sector-size", "4096", image]
    device = subprocess.run(attach, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield mounted("ext4", "rw", device) / "cache"
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)  # takes effect when nothing uses it any more
