"""Waiting for a mount from outside: until it is there, warm, or proven. The kernel tells when mounts come and go, the mounted
process how far it is: nothing is asked again and again but while a mount is on its way up.
"""

import time
from enum import Enum
from pathlib import Path
from typing import Final, final

from mkfs.errors import MountpointUnusable, NotServing, Unreachable
from mkfs.fuse.kernel import Condition, condition
from mkfs.fuse.mountinfo import Mount, changes, mount_at
from mkfs.service.control_client import ANSWER_SECONDS, NoAnswer, Nobody, connected
from mkfs.service.report import Report
from mkfs.service.views import SocketsOf, first_place
from mkfs.units import format_duration

# Between two reports of a mount that is followed, and two looks at one that is on its way up.
PERIOD_SECONDS: Final = 0.5
# The kernel shows a mount some milliseconds before its process listens.
SOCKET_SECONDS: Final = 5.0
# Who unmounts in good order cuts the connection first, and for a moment looks as if it had died.
_GOING_SECONDS: Final = 1.0


@final
class Until(Enum):
    """What is waited for; each is more than the one before, but that what is proven need not be here any more."""

    MOUNTED = "mounted"
    WARM = "warm"
    PROVEN = "proven"

    def holds(self, report: Report) -> bool:
        """Whether a mount with this report is so."""
        return {Until.MOUNTED: True, Until.WARM: report.warm, Until.PROVEN: report.proven}[self]


def wait(place: Path, until: Until, timeout_seconds: float | None, sockets_of: SocketsOf) -> None:
    """Returns when what is mounted at `place` (absolute, without symbolic links) is as wanted, mounted yet or not.

    Raises `Unreachable` after `timeout_seconds`, `MountpointUnusable` where it is unmounted meanwhile, `NotServing` where its
    process dies, does not answer, or cannot be asked.
    """
    waiting = _Waiting(place, until, timeout_seconds, sockets_of)
    with changes() as changed:
        while (mount := waiting.mount()) is None:
            changed(waiting.left())
    if until is Until.MOUNTED:
        return
    waiting.follow(mount)


@final
class _Waiting:
    def __init__(self, place: Path, until: Until, timeout_seconds: float | None, sockets_of: SocketsOf) -> None:
        self._place, self._until, self._sockets_of = place, until, sockets_of
        self._timeout_seconds = timeout_seconds
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds

    def left(self) -> float | None:
        """Seconds. Raises `Unreachable` when there are none."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            what = f"not {self._until.value} after {format_duration(self._timeout_seconds or 0)}"
            raise Unreachable(what, str(self._place), "see what it waits for: kitfs status")
        return left

    def mount(self) -> Mount | None:
        """The mount, if it answers. What a dead process left there may still be mounted anew."""
        mount = mount_at(self._place)
        if mount is None or not mount.ours:
            return None
        while (found := condition(mount)) is Condition.STUCK:  # on its way up, or stopped
            self.left()
        return mount if found is Condition.ALIVE else None

    def follow(self, mount: Mount) -> None:
        """Hears of it until it is as wanted."""
        nobody_until = time.monotonic() + SOCKET_SECONDS
        while True:
            try:
                with connected(self._sockets_of(first_place(mount)), ANSWER_SECONDS) as connection:
                    for report in connection.watch(PERIOD_SECONDS):
                        if self._until.holds(report):
                            return
                        self.left()
            except NoAnswer as error:
                self.left()
                raise NotServing(error.what, f"{self._place}, {error.where}") from error
            except Nobody as error:
                self._check(mount)
                self.left()
                if time.monotonic() >= nobody_until:
                    raise NotServing(error.what, error.where, "its log says why, or another version made it") from error
                time.sleep(PERIOD_SECONDS)
            else:
                self._check(mount)

    def _check(self, mount: Mount) -> None:
        """Returns if the mount is still there, and alive."""
        with changes() as changed:
            if self._is_there(mount) and condition(mount) is Condition.DEAD:
                changed(_GOING_SECONDS)
                if self._is_there(mount):
                    raise NotServing(f"its process died before it was {self._until.value}", str(self._place))
        if not self._is_there(mount):
            raise MountpointUnusable(f"unmounted before it was {self._until.value}", str(self._place))

    def _is_there(self, mount: Mount) -> bool:
        now = mount_at(self._place)
        return now is not None and now.device == mount.device
