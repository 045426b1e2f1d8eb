"""The processes behind a mount and in it, as /proc tells (proc(5)). Nothing here asks the mounted file system, so it can't hang.

Who serves a mount is not looked up in a file of ours, which would go stale and name an unrelated process. The kernel knows: the
descriptor of /dev/fuse that a process holds names its connection in fdinfo (`fuse_connection`, Linux 6.15). Where it does not, no
process is taken for the daemon, and so none is ended.
"""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from msgspec import Struct

from mkfs.fuse.kernel import DEVICE
from mkfs.fuse.mountinfo import Mount, connection_in, mounts_of

COMMAND_NAME: Final = "kitfs"  # what a daemon calls itself (comm), whatever started it
_PROC: Final = Path("/proc")
_SEARCH_SECONDS: Final = 2.0  # a node has tens of thousands of descriptors; a message need not name everybody
STATE_STOPPED: Final = ("T", "t")  # by a signal, or by a debugger


@final
class Process(Struct, frozen=True):
    """One process, by its number and the name it goes by."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


@final
class Daemon:
    """The process of ours that serves a mount, held by a descriptor: signals reach it or nobody, whoever has its number by then."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    @property
    def stopped(self) -> bool:
        """Whether it answers nobody because somebody stopped it (SIGSTOP, a debugger)."""
        return _state(self.pid) in STATE_STOPPED

    def ended(self, seconds: float) -> bool:
        """Whether it ends within `seconds`."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def send(self, *numbers: signal.Signals) -> None:
        """Sends it signals. Raises `PermissionError` for another user's."""
        for number in numbers:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._descriptor)


def name_this_process() -> None:
    """Calls this process `kitfs` in ps and top, which else say python; what `daemon_of` looks for."""
    with suppress(OSError):
        (_PROC / "self" / "comm").write_text(COMMAND_NAME)


def daemon_of(mount: Mount) -> Daemon | None:
    """Who serves `mount`; None where nobody does any more, or where it cannot be told. To be closed."""
    for pid in _pids():
        if not _serves(pid, mount.connection):
            continue
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        if _serves(pid, mount.connection):  # still: the descriptor is of the process that was looked at
            return Daemon(pid, descriptor)
        os.close(descriptor)
    return None


def users_of(mount: Mount, most: int) -> Sequence[Process]:
    """Up to `most` processes that keep `mount` busy, as far as they can be seen: a file open or mapped, or standing in it."""
    places = tuple(os.fsdecode(each.place) for each in mounts_of(mount.device))
    end = time.monotonic() + _SEARCH_SECONDS
    found: list[Process] = []
    for pid in _pids():
        if len(found) == most or time.monotonic() > end:
            break
        if pid != os.getpid() and any(_is_below(path, places) for path in _paths(_PROC / str(pid))):
            found.append(Process(pid, _name(pid)))
    return found


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def _serves(pid: int, connection: str) -> bool:
    """Whether `pid` is a daemon of ours, and holds that connection."""
    if _name(pid) != COMMAND_NAME:
        return False
    directory = _PROC / str(pid)
    for entry in _entries(directory / "fd"):
        with suppress(OSError):
            fdinfo = directory / "fdinfo" / entry.name
            if entry.readlink() == DEVICE and connection_in(fdinfo.read_text()) == connection:
                return True
    return False


def _entries(directory: Path) -> Sequence[Path]:
    """What is in a directory of /proc; nothing where it is closed to us, or its process gone."""
    try:
        return list(directory.iterdir())
    except OSError:
        return ()


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def _state(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _paths(directory: Path) -> Iterator[str]:
    """What a process has open, mapped, or stands in."""
    for link in (directory / "cwd", directory / "root", directory / "exe", *_entries(directory / "fd")):
        with suppress(OSError):
            yield str(link.readlink())
    with suppress(OSError):
        for line in (directory / "maps").read_text(errors="surrogateescape").splitlines():
            yield line.split(" ", 5)[-1].lstrip()


def _is_below(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(place + "/") for place in places)
