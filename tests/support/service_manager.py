"""systemd's protocol, without systemd: the socket of a service manager, and what it was told (sd_notify(3))."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATIENCE_SECONDS: Final = 30
_DATAGRAM_BYTES: Final = 4096
# struct ucred of SCM_CREDENTIALS (unix(7)): pid, uid, gid; by the pid systemd knows whom to believe.
_CREDENTIALS_BYTES: Final = 12


class Manager:
    """Whoever listens. `address` is what NOTIFY_SOCKET says."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.address = address
        self._listener = listener
        self.senders: list[int] = []  # the pid of each message heard

    @property
    def variables(self) -> dict[str, str]:
        """What it puts into the environment of a service."""
        return {"NOTIFY_SOCKET": self.address}

    def hear(self, seconds: float = _PATIENCE_SECONDS) -> dict[str, str]:
        """The next message, its lines by name; empty if none comes."""
        if not select.select([self._listener], [], [], seconds)[0]:
            return {}
        data, ancillary, _, _ = self._listener.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(_CREDENTIALS_BYTES))
        self.senders += [int.from_bytes(content[:4], "little") for _, kind, content in ancillary if kind == socket.SCM_CREDENTIALS]
        lines = [line.partition("=") for line in data.decode().split("\n")]
        assert all(equals for _, equals, _ in lines), data
        return {name: value for name, _, value in lines}

    def hear_until(self, name: str) -> list[dict[str, str]]:
        """All messages up to the first with `name`. Fails the test where it does not come."""
        heard = []
        while not heard or name not in heard[-1]:
            heard.append(self.hear())
            assert heard[-1], f"no {name} after {heard}"
        return heard


@contextmanager
def service_manager(place: Path | str) -> Iterator[Manager]:
    """Listens at a path, or at an abstract name that begins with `@`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = os.fsencode(place)
        listener.bind(b"\0" + name[1:] if name.startswith(b"@") else name)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        yield Manager(listener, os.fsdecode(name))
