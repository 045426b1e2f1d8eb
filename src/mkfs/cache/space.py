"""Room on the file system: reserving it before bytes come, and the words where there is none."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mkfs.cache.files import OpenFile
from mkfs.errors import CacheUnusable
from mkfs.units import format_size

# What posix_fallocate answers where a file system cannot reserve.
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CHOOSE: Final = "choose another directory with --cache-dir"
MAKE_ROOM: Final = f"free some space, or {CHOOSE}"


def reserve(file: OpenFile, size_bytes: int) -> None:
    """Gives `file` its size (not 0) and, where the file system can, its blocks. Raises `OSError` (ENOSPC: no room)."""
    try:
        os.posix_fallocate(file.fd, 0, size_bytes)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
        os.ftruncate(file.fd, size_bytes)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What the disk refuses within this block is a cache that cannot be read: raises `CacheUnusable` for `OSError`."""
    try:
        yield
    except OSError as error:
        what = f"the cache cannot be read: {error.strerror}"
        raise CacheUnusable(what, where, CHOOSE) from error


def unusable(error: OSError, size_bytes: int, where: str) -> CacheUnusable:
    """The error for a file system that failed while `size_bytes` were to be kept."""
    if error.errno in _FULL:
        return CacheUnusable(f"no room in the cache: {format_size(size_bytes)} needed ({error.strerror})", where, MAKE_ROOM)
    return CacheUnusable(f"the cache cannot be written: {error.strerror}", where, CHOOSE)
