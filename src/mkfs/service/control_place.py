"""Where control sockets are: a directory that is ours alone, reached through its descriptor.

So no path is too long for a socket's address (108 bytes, unix(7)), and nobody can put another directory in its place between the
look and the use.
"""

import hashlib
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mkfs.errors import MkfsError

_SUFFIX: Final = ".sock"
_OTHERS_MAY_WRITE: Final = 0o022
_BACKLOG: Final = 16


def socket_name(mountpoint: Path) -> str:
    """The name of the socket of a mount at `mountpoint` (absolute, without symbolic links): a hint for a person, and a hash."""
    hint = re.sub(r"[^A-Za-z0-9._-]", "_", mountpoint.name)[-32:].lstrip(".") or "root"
    return f"{hint}-{hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:16]}{_SUFFIX}"


def listen(path: Path) -> socket.socket:
    """A socket that listens at `path`, 0600 in a directory made 0700; whatever socket was there is replaced in one step, and those
    beside it whose processes are dead are removed. Non-blocking. Raises `OSError`, `MkfsError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _opened(path.parent) as directory:
        about = os.fstat(directory)
        if about.st_uid != os.geteuid() or about.st_mode & _OTHERS_MAY_WRITE:
            raise MkfsError(
                f"not a directory of ours alone: {path.parent}", f"owner {about.st_uid}, mode {about.st_mode & 0o777:o}"
            )
        _sweep(directory)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        hidden = f".{os.getpid()}{_SUFFIX}"
        try:
            with suppress(FileNotFoundError):  # an earlier process of this number died in the middle of this
                os.unlink(hidden, dir_fd=directory)
            listener.bind(_address(directory, hidden))
            os.chmod(hidden, 0o600, dir_fd=directory)
            listener.listen(_BACKLOG)
            os.rename(hidden, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            listener.close()
            with suppress(OSError):
                os.unlink(hidden, dir_fd=directory)
            raise
    return listener


def identity(path: Path) -> tuple[int, int]:
    """Which socket `path` is. Raises `OSError`."""
    about = os.lstat(path)
    return about.st_dev, about.st_ino


def remove(path: Path, ours: tuple[int, int]) -> None:
    """Removes `path`, if it is still the one that `ours` says: a newer mount of the same place has one of its own."""
    with suppress(OSError):
        if identity(path) == ours:
            path.unlink()


def connect(path: Path, timeout_seconds: float) -> socket.socket:
    """A connection to whoever listens at `path`. Raises `OSError`: there is none, or it takes nobody in for so long."""
    with _opened(path.parent) as directory:
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            asking.settimeout(timeout_seconds)
            asking.connect(_address(directory, path.name))
        except BaseException:
            asking.close()
            raise
        return asking


def _sweep(directory: int) -> None:
    """Removes sockets that nobody listens at."""
    for name in os.listdir(directory):
        with suppress(OSError):
            if name.endswith(_SUFFIX) and stat.S_ISSOCK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as asking:
                    try:
                        asking.connect(_address(directory, name))
                    except ConnectionRefusedError:
                        os.unlink(name, dir_fd=directory)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _address(directory: int, name: str) -> str:
    return f"/proc/self/fd/{directory}/{name}"
