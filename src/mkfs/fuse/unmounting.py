"""The ways to unmount: in order, lazily, by force; and who is in the way.

In order: refused while somebody uses it; the daemon finds its connection closed and ends, which is waited for. Lazily: out of sight
at once, the daemon ends with the last user. By force: for a daemon that answers nobody. The connection is aborted, so that whoever
waits for it, in a state that no signal ends (D), gets an error; then the mount is taken away, and the daemon is ended.
"""

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mkfs.errors import Busy, MkfsError
from mkfs.fuse.connection import abort
from mkfs.fuse.kernel import clear_dead_mount, ours_at, unmount, unmount_connection
from mkfs.fuse.mountinfo import Mount, mounts, mounts_of
from mkfs.fuse.processes import Daemon, daemon_of, users_of

_END_SECONDS: Final = 10.0  # what a daemon takes to close its cache and go, on a slow machine
# Who asks a file system for its size holds nothing open, and keeps it busy until it answers: `df`, or another command of ours,
# which gives a daemon that is stopped two seconds.
_PASSING_SECONDS: Final = 4.0
_AGAIN_SECONDS: Final = 0.1
_MOST_NAMED: Final = 5  # of those who keep a mount busy: a line on a terminal


def unmount_in_order(path: Path) -> str:
    """Unmounts ours at `path` and waits for the end of its daemon. A dead mount is cleared, though files are open in it.

    Returns a notice for a person, mostly "". Raises as `kernel.unmount`, and `Busy` says who uses it.
    """
    mount = ours_at(path)
    places = _places_of(mount)
    with _daemon(mount) as daemon:
        try:
            unmount(path)
        except Busy:
            if not clear_dead_mount(path):
                _unmount_after_passers_by(path, mount)
        return _after(places & _places_of(mount), daemon)


def unmount_lazily(path: Path) -> str:
    """Takes ours at `path`, and what is mounted inside it, out of sight. Returns "". Raises as `kernel.unmount`, never `Busy`."""
    unmount(path, lazy=True)
    return ""


def unmount_by_force(path: Path) -> str:
    """Ends ours at `path` whatever state it, its daemon and its readers are in. Returns as `unmount_in_order`.

    Raises `MountpointUnusable` where nothing of ours is mounted, `MkfsError` where neither its connection nor its daemon can be
    reached.
    """
    mount = ours_at(path)
    places = _places_of(mount)
    with _daemon(mount) as daemon:
        aborted = abort(mount.device)
        if not aborted and daemon is None:
            raise MkfsError(
                f"cannot abort the connection of {path}",
                "fusectl is not mounted, or not ours, and its process is not known",
                "as root: mount -t fusectl none /sys/fs/fuse/connections; or, if nobody waits in it: umount --lazy",
            )
        # First its end, which closes the connection as well: it may unmount by itself, and would race with us.
        notice = "" if daemon is None else _made_to_end(daemon, patiently=aborted)
        unmount_connection(mount.device, cut=not notice)
        if left := places & _places_of(mount):
            raise MkfsError(f"{min(left)} cannot be unmounted", mount.label)
        return notice


def places_of_user(user_id: int) -> list[Path]:
    """Where `user_id` has mounts of ours, in the order to unmount them in: what lies on or in another comes first."""
    return [Path(os.fsdecode(mount.place)) for mount in reversed(mounts()) if mount.ours and mount.user == user_id]


@contextmanager
def _daemon(mount: Mount) -> Iterator[Daemon | None]:
    daemon = daemon_of(mount)
    try:
        yield daemon
    finally:
        if daemon is not None:
            daemon.close()


def _places_of(mount: Mount) -> set[str]:
    """Where what has the number of `mount` can be seen. Of those where it could be seen before: after its end, the next mount of
    anybody has the number.
    """
    return {os.fsdecode(each.place) for each in mounts_of(mount.device)}


def _after(others: Collection[str], daemon: Daemon | None) -> str:
    """Waits for the daemon of what was unmounted, where it has a reason to end: it does not while it is seen at `others`. What
    there is to say if it goes on.
    """
    if daemon is None:
        return ""
    if others:
        return f"its daemon, pid {daemon.pid}, goes on: the same file system is mounted at {', '.join(sorted(others))}"
    if daemon.stopped:
        return f"its daemon, pid {daemon.pid}, is stopped, and ends when it is continued: kill -CONT {daemon.pid}"
    if not daemon.ended(_END_SECONDS):
        return f"its daemon, pid {daemon.pid}, has not ended yet: another mount namespace may show it"
    return ""


def _made_to_end(daemon: Daemon, *, patiently: bool) -> str:
    """Ends a daemon. One whose connection is gone ends by itself, unless it is stopped or stuck: that one is killed later."""
    if patiently:
        _send(daemon, signal.SIGTERM, signal.SIGCONT)
    if not patiently or not daemon.ended(_END_SECONDS):
        _send(daemon, signal.SIGKILL)
        if not daemon.ended(_END_SECONDS):
            return f"its daemon, pid {daemon.pid}, was killed and has not ended: it waits in the kernel, or is frozen"
    return ""


def _send(daemon: Daemon, *numbers: signal.Signals) -> None:
    try:
        daemon.send(*numbers)
    except PermissionError as error:
        raise MkfsError(f"the daemon, pid {daemon.pid}, is another user's", hint="ask root") from error


def _unmount_after_passers_by(path: Path, mount: Mount) -> None:
    """Unmounts what was busy a moment ago. Raises `Busy` when it is so by somebody who can be named, or for long."""
    place, end = os.fsdecode(mount.place), time.monotonic() + _PASSING_SECONDS
    while True:
        try:
            unmount(path)
        except Busy as error:
            if busy := _in_the_way(mount):
                raise busy from error
            if time.monotonic() >= end:
                who = "by a process of another user, or one that is not seen here"
                raise Busy(f"{place} is in use", who, f"as root: fuser -vm {place}") from error
        else:
            return
        time.sleep(_AGAIN_SECONDS)


def _in_the_way(mount: Mount) -> Busy | None:
    """What is seen to keep it busy."""
    place = os.fsdecode(mount.place)
    inside = [each for each in _mounted_below(place) if each.device != mount.device]
    if inside:
        where = ", ".join(f"{os.fsdecode(each.place)} ({each.file_system})" for each in inside[:_MOST_NAMED])
        return Busy(f"{place} is in use", f"mounted inside it: {where}", "unmount that first, or all of it: --lazy")
    users = users_of(mount, _MOST_NAMED + 1)
    if not users:
        return None
    more = " and others" if len(users) > _MOST_NAMED else ""
    named = ", ".join(map(str, users[:_MOST_NAMED])) + more
    return Busy(f"{place} is in use", f"a file or working directory there is open in pid {named}", "end them first, or: --lazy")


def _mounted_below(place: str) -> Iterator[Mount]:
    inside = os.fsencode(place) + b"/"
    return (mount for mount in reversed(mounts()) if mount.place.startswith(inside))
