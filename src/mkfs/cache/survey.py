"""What the cache occupies, counted as `du` counts: the blocks of every file and directory below its root."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from mkfs.cache.eviction import Disk, Item, Kind
from mkfs.cache.files import OpenFile, open_directory
from mkfs.cache.layout import STAGING, Layout
from mkfs.errors import BadDigest
from mkfs.oci.digest import Digest

_BLOCK_BYTES: Final = 512  # of st_blocks, whatever the file system's own blocks are (stat(2))
_KINDS: Final = {kind.value: kind for kind in Kind}


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes on the disk, and the files and directories they are in."""

    size_bytes: int = 0
    inodes: int = 0

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.size_bytes + other.size_bytes, self.inodes + other.inodes)

    def __sub__(self, other: "Weight") -> "Weight":
        return Weight(self.size_bytes - other.size_bytes, self.inodes - other.inodes)


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """One look at the cache. `total` holds everything: `items`, `staging`, and the rest (directories, locks, grants …)."""

    items: tuple[Item, ...]
    staging: Weight  # what is on its way in or out
    total: Weight


def survey(layout: Layout) -> Survey:
    """Counts everything. What comes and goes meanwhile may be missed. Blocks; raises `OSError`."""
    items: list[Item] = []
    root = open_directory(".", layout.root)
    total = _own(os.fstat(root.fd))
    staging = Weight()
    for name in os.listdir(root.fd):
        kind = _KINDS.get(name)
        if kind is not None:
            total += _collect(kind, name, root, items)
        elif name == STAGING:
            staging = _content(layout.staging)
            total += _own(os.fstat(layout.staging.fd)) + staging
        else:
            total += _weigh(name, root)
    return Survey(tuple(items), staging, total)


def disk_of(directory: OpenFile) -> Disk:
    """The file system of `directory`. Raises `OSError`."""
    return disk_from(os.fstatvfs(directory.fd))


def disk_from(status: os.statvfs_result) -> Disk:
    """What statvfs(3) says, in bytes and inodes that are free to us."""
    unit = status.f_frsize
    return Disk(status.f_blocks * unit, status.f_bavail * unit, status.f_files, status.f_favail)


def _collect(kind: Kind, name: str, root: OpenFile, items: list[Item]) -> Weight:
    """Weighs the directory of a kind, and adds an item for each digest in it."""
    try:
        parent = open_directory(name, root)
    except OSError:
        return _weigh(name, root)
    total = _own(os.fstat(parent.fd))
    for algorithm in os.listdir(parent.fd):
        try:
            directory = open_directory(algorithm, parent)
        except OSError:  # no directory of ours
            total += _weigh(algorithm, parent)
            continue
        total += _own(os.fstat(directory.fd))
        for entry in os.listdir(directory.fd):
            weight = _weigh(entry, directory)
            total += weight
            try:
                digest = Digest.parse(f"{algorithm}:{entry}")
                used_ns = os.stat(entry, dir_fd=directory.fd, follow_symlinks=False).st_mtime_ns
            except (BadDigest, FileNotFoundError):
                continue
            items.append(Item(kind, digest, weight.size_bytes, weight.inodes, used_ns))
    return total


def _weigh(name: str, parent: OpenFile) -> Weight:
    """`name` and everything below it; nothing if it is gone."""
    try:
        status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        weight = _own(status)
        if stat.S_ISDIR(status.st_mode):
            with suppress(PermissionError):  # whoever meets it will take it away; nobody else has to care
                weight += _content(open_directory(name, parent))
    except FileNotFoundError:
        return Weight()
    return weight


def _content(directory: OpenFile) -> Weight:
    """Everything in `directory`. Through a descriptor of its own: two that list through one would miss entries."""
    own = open_directory(".", directory)
    return sum((_weigh(name, own) for name in os.listdir(own.fd)), Weight())


def _own(status: os.stat_result) -> Weight:
    return Weight(status.st_blocks * _BLOCK_BYTES, 1)
