"""Files below directories we hold open: every name is looked up relative to a descriptor, so no path can be swapped under us.

All opens refuse symbolic links and are not inherited by children (PEP 446). Opens carry `O_NONBLOCK`, so that a fifo in a file's
place answers at once instead of waiting for somebody. Functions raise `OSError` as it comes; who knows the file's purpose maps it.
"""

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import Final, final

Buffer = bytes | bytearray | memoryview

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
OTHERS_MAY_WRITE: Final = 0o022  # group or world
# What opening or reading says where something else stands in the place of a file or directory of ours, or nobody may touch it.
_NOT_OURS: Final = frozenset({errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO, errno.EACCES})
_READ_STEP_BYTES: Final = 1024 * 1024  # enough for one call per document or index, small enough to grow into


@final
class OpenFile:
    """A file or directory held open until its last holder lets go: no thread can meet a number that means another file by now.

    Hold the object, not its `fd`: `OpenFile(…).fd` in an expression is a number of nothing.
    """

    __slots__ = ("__weakref__", "_close", "_suppressed", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._close = os.close  # at interpreter exit the module's globals may be gone before we are
        self._suppressed = suppress(OSError)

    def __del__(self) -> None:
        with self._suppressed:  # a network's file system says late what it did not write; whoever reads it hashes it
            self._close(self.fd)

    def __repr__(self) -> str:
        return f"<OpenFile {self.fd}>"


def open_directory(name: str, parent: OpenFile) -> OpenFile:
    """The directory `name` in `parent`. A symbolic link is refused (ENOTDIR)."""
    return OpenFile(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent.fd))


def open_our_directory(name: str, parent: OpenFile) -> OpenFile:
    """As `open_directory`, and refused (EACCES) if it belongs to another user or others can write in it."""
    directory = open_directory(name, parent)
    status = os.fstat(directory.fd)
    if status.st_uid != os.geteuid() or status.st_mode & OTHERS_MAY_WRITE:
        raise PermissionError(errno.EACCES, "belongs to another user, or others can write in it", name)
    return directory


def make_directory(name: str, parent: OpenFile) -> OpenFile:
    """As `open_directory`; made (0700) where it is missing."""
    with suppress(FileExistsError):
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent.fd)
    return open_directory(name, parent)


def create(name: str, parent: OpenFile) -> OpenFile:
    """A new file (0600), open for writing. Raises `FileExistsError` for a name in use, whatever stands there."""
    return OpenFile(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE, dir_fd=parent.fd))


def open_to_read(name: str, parent: OpenFile, flags: int = 0) -> OpenFile:
    """The existing file `name`; `flags` are added to the open."""
    return OpenFile(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=parent.fd))


def open_to_write(name: str, parent: OpenFile) -> OpenFile:
    """The existing file `name`, for writing; neither made nor truncated."""
    return OpenFile(os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent.fd))


def made_anyway(name: str, parent: OpenFile) -> OpenFile:
    """The file `name`, for reading and writing; made (0600) where it is missing, and where something stands that is no file of
    ours. Never truncated.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = OpenFile(os.open(name, flags, FILE_MODE, dir_fd=parent.fd))
        if _is_ours(os.fstat(file.fd)):
            return file
    except OSError as error:
        if not is_not_ours(error):
            raise
    remove(name, parent)
    return OpenFile(os.open(name, flags, FILE_MODE, dir_fd=parent.fd))


def is_our_file(status: os.stat_result, size_bytes: int) -> bool:
    """Whether `status` is that of a regular file of ours with exactly `size_bytes`."""
    return _is_ours(status) and status.st_size == size_bytes


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def is_not_ours(error: OSError) -> bool:
    """Whether `error` came from what stands in a file's place (a link, a directory …), and not from the disk or a shortage."""
    return error.errno in _NOT_OURS


def read_whole(name: str, parent: OpenFile, limit_bytes: int) -> bytes:
    """The content of file `name`, but at most `limit_bytes` + 1 bytes of it: one more than the limit tells that there is more.

    What is no regular file of ours is refused (EACCES).
    """
    file = open_to_read(name, parent)
    if not _is_ours(os.fstat(file.fd)):
        raise PermissionError(errno.EACCES, "is no file of ours", name)
    content = bytearray()
    while piece := os.read(file.fd, min(_READ_STEP_BYTES, limit_bytes + 1 - len(content))):
        content += piece
    return bytes(content)


def write_at(file: OpenFile, data: Buffer, offset: int) -> None:
    """All of `data` to `file` from `offset` on, positional. Holds on to no view of `data`, not even in a traceback."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            with view[done:] as rest:
                done += os.pwrite(file.fd, rest, offset + done)


def remove(name: str, parent: OpenFile) -> None:
    """Takes `name` away, whatever it is; as much as can be. A link is removed itself, never what it points to."""
    try:
        os.unlink(name, dir_fd=parent.fd)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # Linux says EISDIR, POSIX EPERM
        with suppress(OSError):
            os.chmod(name, DIRECTORY_MODE, dir_fd=parent.fd)  # it may be one that we must not list
        shutil.rmtree(name, ignore_errors=True, dir_fd=parent.fd)


def discard(name: str, parent: OpenFile) -> None:
    """As `remove`, of what is in `staging/` and of no use any more: what a failing disk keeps is left to the next sweep."""
    with suppress(OSError):
        remove(name, parent)
