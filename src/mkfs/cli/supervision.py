"""What a service manager says to a process it starts, in its environment (sd_notify(3), sd_watchdog_enabled(3))."""

import os
from collections.abc import MutableMapping

from mkfs.service.process import SUPERVISION
from mkfs.service.settings import NotifySettings

_MICROSECONDS = 1_000_000


def take_supervision(environment: MutableMapping[str, str]) -> NotifySettings | None:
    """Reads what is ours of `environment`, and takes it out, so that no program we run speaks in our name.

    None where nobody listens, or not at an address we know: a path or `@` and a name (vsock is for virtual machines). A watchdog
    counts only where it is for this process.
    """
    socket, period, pid = (environment.pop(name, "") for name in SUPERVISION)
    if not socket.startswith(("/", "@")) or len(socket) == 1:
        return None
    watched = period.isascii() and period.isdecimal() and int(period) > 0 and pid in ("", str(os.getpid()))
    return NotifySettings(socket, int(period) / _MICROSECONDS if watched else None)
