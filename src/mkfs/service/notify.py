"""What a service manager is told of a mounted process: sd_notify(3), systemd's protocol, spoken without systemd's library.

A message is a datagram of lines `NAME=value` to a Unix socket that the environment names (`cli.supervision` reads it). Whoever runs
us may be systemd, or anything that has learnt its protocol. Without a socket all of this does nothing.
"""

import logging
import os
import socket
from typing import Final, final

import trio

from mkfs.errors import MkfsError
from mkfs.service.progress import Progress
from mkfs.service.settings import NotifySettings
from mkfs.units import format_size

log = logging.getLogger(__name__)

# A service manager that does not empty its socket holds up the loop for so long per message, and no longer.
_SEND_SECONDS: Final = 1.0
# A stream without a byte is given up after 60 s (`content.patience`); until the next word on it, 10 s, it may take as long again.
_EXTENSION_SECONDS: Final = 90


@final
class Notifier:
    """Tells one service manager. Made once per process; no method raises, what cannot be sent is logged once."""

    def __init__(self, settings: NotifySettings | None) -> None:
        self._settings = settings
        self._done_bytes = 0
        self._stopping = self._complained = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._settings is not None

    def tell(self, *assignments: str) -> None:
        """Sends one message; each of `assignments` is `NAME=value`, made one line."""
        if self._settings is None:
            return
        message = "\n".join(" ".join(each.split("\n")) for each in assignments)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(message.encode("utf-8", "replace"), _address(self._settings.socket))
        except (OSError, ValueError) as error:
            log.log(logging.DEBUG if self._complained else logging.WARNING, "the service manager cannot be told: %s", error)
            self._complained = True

    def main_process(self, pid: int) -> None:
        """The process to watch is another one from now on. Only the one watched so far is believed (NotifyAccess=main)."""
        self.tell(f"MAINPID={pid}")

    def status(self, text: str) -> None:
        """What is shown as its state."""
        self.tell(f"STATUS={text}")

    def progress(self, moment: Progress) -> None:
        """How far a long mount is. While it gets on, its start may take longer."""
        done, size = format_size(moment.done_bytes), format_size(moment.size_bytes)
        words = [f"STATUS=mounting: {done} of {size} read of compressed layers, {moment.done_layers} of {moment.layers} done"]
        if moment.done_bytes > self._done_bytes:
            words.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * 1_000_000}")
        self._done_bytes = moment.done_bytes
        self.tell(*words)

    def ready(self, text: str) -> None:
        """The directory is readable."""
        self.tell("READY=1", f"STATUS={text}")

    def stopping(self, text: str) -> None:
        """On the way out. Said once, whoever says it again."""
        if not self._stopping:
            self._stopping = True
            self.tell("STOPPING=1", f"STATUS={text}")

    def failed(self, error: MkfsError) -> None:
        """Why it ends, with the errno of its kind and the exit code to come."""
        self.tell(f"STATUS=failed: {error}", f"ERRNO={error.errno}", f"EXIT_STATUS={error.exit_code}")

    async def keep_alive(self) -> None:
        """Says twice per period that the loop turns, where somebody watches for that; returns at once where nobody does."""
        if self._settings is None or self._settings.watchdog_seconds is None:
            return
        while True:
            self.tell("WATCHDOG=1")
            await trio.sleep(self._settings.watchdog_seconds / 2)


def _address(name: str) -> bytes:
    """The socket's address: a path, or `@` for the abstract name space (unix(7))."""
    return b"\0" + os.fsencode(name[1:]) if name.startswith("@") else os.fsencode(name)
