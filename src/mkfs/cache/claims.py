"""Claims: entries of `staging/` that belong to a living process.

Theory. Whoever makes an entry in `staging/` locks it (flock on the entry itself) and keeps the lock for as long as it uses it; the
kernel drops the lock when the process dies, however it dies. So an entry whose lock can be had is a leftover and may be removed by
anyone. A stopped process keeps its lock, and its entry. Between making and locking an entry a sweeper may have got the lock first;
then the maker finds that the name is gone, or not what it has locked, and starts again with another name.

What is on its way out is renamed into `staging/` under a name of its own kind first. Nobody owns that: any sweeper removes it, also
while readers still hold their shared lock on it.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Final, final

from msgspec import Struct

from mkfs.cache.files import DIRECTORY_MODE, OpenFile, create, discard, is_not_ours, open_directory, open_to_read

_NAME_BYTES: Final = 16  # of randomness: two processes never meet
_GONE: Final = ".gone"  # how the names end of what is being removed
_TRIES: Final = 16  # a sweeper holds the lock for one unlink; losing to 16 of them in a row is no accident


@final
class Claim(Struct, frozen=True):
    """An entry of `staging/` and the descriptor that holds its lock: for a directory its own, for a file one open for writing."""

    name: str
    file: OpenFile


def claim_directory(staging: OpenFile, new_name: Callable[[], str] | None = None) -> Claim:
    """A new empty directory of the caller's own, by a name that nobody else has. Raises `OSError`."""
    return _claim(staging, new_name or unique_name, directory=True)


def claim_file(staging: OpenFile) -> Claim:
    """A new empty file of the caller's own. Raises `OSError`."""
    return _claim(staging, unique_name, directory=False)


def _claim(staging: OpenFile, new_name: Callable[[], str], *, directory: bool) -> Claim:
    for _ in range(_TRIES):
        name = new_name()
        if directory:
            os.mkdir(name, DIRECTORY_MODE, dir_fd=staging.fd)
        file = None if directory else create(name, staging)
        try:
            file = file or open_directory(name, staging)
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stands(name, staging, os.fstat(file.fd)):
                return Claim(name, file)
        except (BlockingIOError, FileNotFoundError):  # a sweeper came between making and locking
            continue
        except OSError:
            discard(name, staging)
            raise
    raise BlockingIOError(errno.EWOULDBLOCK, f"could not keep an entry of staging in {_TRIES} tries")


def unique_name() -> str:
    """A name nobody else has."""
    return os.urandom(_NAME_BYTES).hex()


def sweep(staging: OpenFile, is_kept: Callable[[str, OpenFile], bool] | None = None) -> int:
    """Removes what dead owners left; how many entries that were. Raises `OSError` if `staging/` cannot be listed.

    What `is_kept` says of an entry's name and descriptor may spare it; it is asked while the entry is locked.
    """
    removed = 0
    for name in os.listdir(staging.fd):
        if name.endswith(_GONE):
            discard(name, staging)
            removed += 1
            continue
        try:
            file = open_to_read(name, staging)
        except OSError as error:
            if not is_not_ours(error):
                continue
        else:
            try:
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # a living owner's, or a file system without locks
                continue
            if is_kept is not None and is_kept(name, file):
                continue
        discard(name, staging)
        removed += 1
    return removed


def bury(name: str, parent: OpenFile, staging: OpenFile, only: os.stat_result | None = None) -> bool:
    """Makes `name` disappear in one step and removes what it was; whether it was there. Who has files of it open reads on.

    With `only`, nothing but the very directory of that status: what somebody has put in its place meanwhile stays.
    """
    grave = unique_name() + _GONE
    try:
        if only is not None and not stands(name, parent, only):
            return False
        try:
            os.rename(name, grave, src_dir_fd=parent.fd, dst_dir_fd=staging.fd)
        except PermissionError:  # a directory that we may not write, which moving it does
            os.chmod(name, DIRECTORY_MODE, dir_fd=parent.fd)
            os.rename(name, grave, src_dir_fd=parent.fd, dst_dir_fd=staging.fd)
    except FileNotFoundError:
        return False
    discard(grave, staging)
    return True


def stands(name: str, parent: OpenFile, status: os.stat_result) -> bool:
    """Whether `name` is what had that `status`, and not gone or replaced meanwhile. Raises `OSError`."""
    try:
        return os.path.samestat(status, os.stat(name, dir_fd=parent.fd, follow_symlinks=False))
    except FileNotFoundError:
        return False
