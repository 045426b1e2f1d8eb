"""What somebody who asks from outside sees of mounts: those that serve with their report, and those that do not."""

import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import final

from msgspec import Struct

from mkfs.fuse.kernel import Condition, condition
from mkfs.fuse.mountinfo import Mount, mounts
from mkfs.service.control_client import NoAnswer, Nobody, connected
from mkfs.service.report import Report

SocketsOf = Callable[[Mount], Sequence[Path]]  # where the control socket of a mount may be


@final
class State(Enum):
    """How a mount is. The values are shown."""

    MOUNTED = "mounted"  # it answers
    DEAD = "dead"  # its process is gone, and every path in it says ENOTCONN
    STUCK = "not answering"  # its process is there, and stopped or stuck
    SILENT = "no status"  # it serves, but has no control socket: another version, or another namespace made it


@final
class View(Struct, frozen=True):
    """One mount. `source` is what mount(8) shows: the reference with its digest. `pid`: None where nobody says."""

    mountpoint: str
    source: str
    state: State
    pid: int | None = None
    why: str = ""  # it does not answer
    report: Report | None = None


def ours(user: int) -> tuple[Mount, ...]:
    """The mounts of ours that `user` made, all of them for root; each once, at its first place, and of several at one place the
    uppermost.
    """
    found: dict[str, Mount] = {}
    for mount in mounts():
        if mount.ours:
            found.setdefault(mount.device, mount)
    uppermost = {mount.place: mount for mount in found.values()}
    return tuple(mount for mount in uppermost.values() if not user or mount.user in (None, user))


def first_place(mount: Mount) -> Mount:
    """`mount` where it was made: it may be bound to other places, and its socket is named after the first."""
    return next((each for each in mounts() if each.device == mount.device), mount)


def view_of(mount: Mount, sockets_of: SocketsOf) -> View:
    """Asks `mount`, which is at its first place, as those of `ours` are. Takes no longer than its time limits, whatever state it is
    in; raises nothing.
    """
    place = os.fsdecode(mount.place)
    try:
        with connected(sockets_of(mount)) as connection:
            report = connection.status()
            if report.mountpoint == place:
                return View(place, mount.source, State.MOUNTED, report.pid, report=report)
            return View(place, mount.source, _unheard(mount), why="its socket is another mount's")
    except NoAnswer as error:
        return View(place, mount.source, State.STUCK, error.pid or None, error.what)
    except Nobody as error:
        state = _unheard(mount)
        return View(place, mount.source, state, why=str(error) if state is State.SILENT else "")


def _unheard(mount: Mount) -> State:
    return {Condition.DEAD: State.DEAD, Condition.STUCK: State.STUCK, Condition.ALIVE: State.SILENT}[condition(mount)]
