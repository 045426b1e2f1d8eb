"""systemd's protocol, without systemd: the socket of a service manager, and what it was told (sd_notify(3))."""

import os
import select
import socket
import threading
import time
from collections import deque
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
        self._came = deque[tuple[int, bytes]]()  # not heard yet: sender and message
        self._changed = threading.Condition()
        self.senders: list[int] = []  # the pid of each message heard

    @property
    def variables(self) -> dict[str, str]:
        """What it puts into the environment of a service."""
        return {"NOTIFY_SOCKET": self.address}

    def take(self) -> None:
        """Empties the socket, which holds ten messages (net.unix.max_dgram_qlen). Any thread may call."""
        with self._changed:
            while select.select([self._listener], [], [], 0)[0]:
                data, ancillary, _, _ = self._listener.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(_CREDENTIALS_BYTES))
                pids = [int.from_bytes(said[:4], "little") for _, kind, said in ancillary if kind == socket.SCM_CREDENTIALS]
                self._came.append((pids[0], data))
            self._changed.notify_all()

    def hear(self, seconds: float = _PATIENCE_SECONDS) -> dict[str, str]:
        """The next message, its lines by name; empty if none comes."""
        self.take()
        with self._changed:
            if not self._changed.wait_for(lambda: self._came, seconds):
                return {}
            pid, data = self._came.popleft()
        self.senders.append(pid)
        lines = [line.partition("=") for line in data.decode().split("\n")]
        assert all(equals for _, equals, _ in lines), data
        return {name: value for name, _, value in lines}

    def hear_until(self, name: str) -> list[dict[str, str]]:
        """All messages up to the first with `name`. Fails the test where it does not come."""
        heard: list[dict[str, str]] = []
        end = time.monotonic() + _PATIENCE_SECONDS
        while not heard or name not in heard[-1]:
            heard.append(self.hear(max(0.0, end - time.monotonic())))
            assert heard[-1], f"no {name} after {heard}"
            assert time.monotonic() < end, f"no {name} after {heard[-20:]}"
        return heard


@contextmanager
def service_manager(place: Path | str, *, busy: bool = False) -> Iterator[Manager]:
    """Listens at a path, or at an abstract name that begins with `@`: in a thread, so that nobody has to wait to be heard; where it
    is `busy`, only while somebody hears.
    """
    ended, end = socket.socketpair()
    with ended, end, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = os.fsencode(place)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # before anybody can send
        listener.bind(b"\0" + name[1:] if name.startswith(b"@") else name)
        manager = Manager(listener, os.fsdecode(name))

        def listen() -> None:
            while ended not in select.select([ended] if busy else [ended, listener], [], [])[0]:
                manager.take()

        listening = threading.Thread(target=listen, name="service manager", daemon=True)
        listening.start()
        try:
            yield manager
        finally:
            end.close()
            listening.join()
