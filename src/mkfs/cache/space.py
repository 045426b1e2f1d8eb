"""Room on the file system: how much is left free for others, and reserving it before bytes come."""

import errno
import os
from dataclasses import dataclass
from typing import Final, final

from mkfs.cache.files import OpenFile
from mkfs.errors import CacheUnusable
from mkfs.units import format_size

# What posix_fallocate answers where a file system cannot reserve.
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MAKE_ROOM: Final = "free some space, or choose another directory with --cache-dir"


@final
@dataclass(frozen=True, slots=True)
class Reserve:
    """The share of the file system's bytes and inodes that the cache leaves free: 0 <= `min_free_ratio` < 1."""

    min_free_ratio: float

    def __post_init__(self) -> None:
        if not 0 <= self.min_free_ratio < 1:
            raise ValueError(f"not a share: {self.min_free_ratio}")

    def require(self, directory: OpenFile, size_bytes: int, inodes: int, where: str) -> None:
        """Returns if `size_bytes` in `inodes` new files and directories leave enough free. Raises `CacheUnusable`, or `OSError`."""
        status = os.fstatvfs(directory.fd)
        keep_bytes = int(status.f_blocks * status.f_frsize * self.min_free_ratio)
        free_bytes = status.f_bavail * status.f_frsize
        if status.f_blocks and free_bytes - size_bytes < keep_bytes:  # without blocks: a file system that does not count
            raise CacheUnusable(
                f"no room in the cache: {format_size(size_bytes)} needed, {format_size(free_bytes)} free,"
                f" of which {format_size(keep_bytes)} stay free",
                where,
                MAKE_ROOM,
            )
        keep_inodes = int(status.f_files * self.min_free_ratio)
        if status.f_files and status.f_favail - inodes < keep_inodes:  # without inodes: btrfs and others make them as needed
            raise CacheUnusable(
                f"no room in the cache: {inodes} inodes needed, {status.f_favail} free, of which {keep_inodes} stay free",
                where,
                MAKE_ROOM,
            )


def reserve(file: OpenFile, size_bytes: int) -> None:
    """Gives `file` its size (not 0) and, where the file system can, its blocks. Raises `OSError` (ENOSPC: no room)."""
    try:
        os.posix_fallocate(file.fd, 0, size_bytes)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
        os.ftruncate(file.fd, size_bytes)


def unusable(error: OSError, size_bytes: int, where: str) -> CacheUnusable:
    """The error for a file system that failed while `size_bytes` were to be kept."""
    if error.errno in _FULL:
        return CacheUnusable(f"no room in the cache: {format_size(size_bytes)} needed ({error.strerror})", where, MAKE_ROOM)
    return CacheUnusable(f"the cache cannot be written: {error.strerror}", where, "choose another directory with --cache-dir")
