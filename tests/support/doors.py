"""A door before a server: everything a client says goes through it, and it can be shut in every way in which a network fails.

    with standing_before(server.host) as door:
        ...  # door.host stands in for server.host
        door.way = SILENT

With a TLS context the door speaks TLS, and plain TCP with the server behind it.
"""

import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from mkfs.units import KIB

_PIECE_BYTES: Final = 64 * KIB
_LOOK_SECONDS: Final = 0.05  # a thread that waits for bytes looks so often whether the door was shut
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


@dataclass(frozen=True)
class Way:
    """How the door stands. What it says of bytes is of those that came from the server, of each connection by itself.

    `refuses`: nobody listens, and connections are reset. `silent`: no packet is answered, neither those that ask for a connection
    nor those of one. `resets_after`, `stalls_after`: so many bytes. `bytes_per_second`: no more than that.
    """

    refuses: bool = False
    silent: bool = False
    resets_after: int | None = None
    stalls_after: int | None = None
    bytes_per_second: float | None = None


OPEN: Final = Way()
REFUSING: Final = Way(refuses=True)
SILENT: Final = Way(silent=True)


class Door:
    """Made by `standing_before`. `way` may be set at any time, by one thread."""

    def __init__(self, target: str, context: ssl.SSLContext | None, way: Way) -> None:
        host, _, port = target.rpartition(":")
        self._target, self._context = (host, int(port)), context
        self._way, self._turns = OPEN, 0
        self._turned = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._fillers: list[socket.socket] = []
        self._taken = socket.socket()  # never listens: while the door refuses, no server of another test gets its port
        self._taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._taken.bind(("127.0.0.1", 0))
        self._port = self._taken.getsockname()[1]
        self.host = f"127.0.0.1:{self._port}"
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._accept()
        if way != OPEN:
            self.way = way

    @property
    def way(self) -> Way:
        return self._way

    @way.setter
    def way(self, way: Way) -> None:
        self._shut()
        with self._turned:
            self._way, self._turns = way, self._turns + 1
            self._turned.notify_all()
        if not way.refuses:
            self._listen()

    def end(self) -> None:
        """Refuses, and waits for its threads."""
        self.way = REFUSING
        self._taken.close()
        for thread in self._threads:
            thread.join()

    def _shut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        for filler in self._fillers:
            filler.close()
        self._fillers = []

    def _listen(self) -> None:
        backlog = 0 if self._way.silent else 128
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=backlog)
        if not self._way.silent:
            self._accept()
            return
        while True:  # until the queue is full: from then on Linux drops who asks for a connection
            filler = socket.socket()
            filler.settimeout(0.3)
            self._fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self._port))
            except TimeoutError:
                return

    def _accept(self) -> None:
        self._start(self._accept_on, self._listener)

    def _accept_on(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                self.connections += 1
                self._start(self._carry, near)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _carry(self, near: socket.socket) -> None:
        far = socket.socket()
        try:
            if self._context is not None:
                near = self._context.wrap_socket(near, server_side=True)
            far.connect(self._target)
            self._pass_on(near, far)
        except OSError:  # whoever is meant hears of it by the connection's end
            pass
        finally:
            far.close()
            with suppress(OSError):
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            near.close()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        turn, passed = -1, 0
        while True:
            with self._turned:
                way, now = self._way, self._turns
            if now != turn:
                turn, passed = now, 0
            if way.refuses or (way.resets_after is not None and passed >= way.resets_after):
                return
            if way.silent or (way.stalls_after is not None and passed >= way.stalls_after):
                self._wait(turn, None)
                continue
            limits = [each - passed for each in (way.resets_after, way.stalls_after) if each is not None]
            limit = 1 if way.bytes_per_second else min([_PIECE_BYTES, *limits])
            buffered = isinstance(near, ssl.SSLSocket) and near.pending()
            ready = [near] if buffered else select.select([near, far], [], [], _LOOK_SECONDS)[0]
            if near in ready:
                said = near.recv(_PIECE_BYTES)
                if not said:
                    return
                far.sendall(said)
            if far in ready:
                answer = far.recv(limit)
                if not answer:
                    with suppress(OSError):
                        near.shutdown(socket.SHUT_WR)  # an end in order, as the server meant it
                    return
                near.sendall(answer)
                passed += len(answer)
                if way.bytes_per_second:
                    self._wait(turn, 1 / way.bytes_per_second)

    def _wait(self, turn: int, seconds: float | None) -> None:
        with self._turned:
            self._turned.wait_for(lambda: self._turns != turn, seconds)


@contextmanager
def standing_before(target: str, *, context: ssl.SSLContext | None = None, way: Way = OPEN) -> Iterator[Door]:
    """A door before `target`, `host:port`, for the length of the block."""
    door = Door(target, context, way)
    try:
        yield door
    finally:
        door.end()
