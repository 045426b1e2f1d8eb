"""Carries a `MemoryRegistry` over real sockets: HTTP/1.1 with keep-alive, a thread per connection.

    with serve(registry) as server:
        ...  # server.url, server.host

Leaving the block ends every connection, also those that are held or paused, and waits for their threads.
"""

import logging
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from time import monotonic
from typing import Final, cast, final
from urllib.parse import unquote, urlsplit

from mkfs.ranges import ByteRange
from mkfs.testing.answers import Break, Cut, Hold, Pause, Request, Send
from mkfs.testing.bodies import FileBody
from mkfs.testing.gates import Gate
from mkfs.testing.log import Served
from mkfs.testing.registry import MemoryRegistry, Response
from mkfs.units import KIB, MIB

_log = logging.getLogger(__name__)

_BODY_LIMIT_BYTES: Final = 128 * MIB  # of a request, which is kept in memory: the documents that tests push have up to 64 MiB
_BEGINNING_BYTES: Final = 64 * KIB  # what is read of one that is longer: a client that sends a little more still sees the answer
_SENDFILE_BYTES: Final = 8 * MIB  # per call: large enough to keep Python out of it
_BACKLOG: Final = 512  # hundreds of readers may connect at once
_STOP_SECONDS: Final = 30.0  # for the threads of connections that were just shut down; they have nothing left to wait for
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


class _Ended(Exception):
    """This connection carries nothing more."""


@final
class RegistryServer(ThreadingHTTPServer):
    """A listening registry. Made by `serve`."""

    request_queue_size = _BACKLOG
    daemon_threads = True  # a test that fails must not hang the interpreter

    def __init__(self, registry: MemoryRegistry, address: tuple[str, int]) -> None:
        self.registry = registry
        self._stopping = Gate()
        self._live: set[socket.socket] = set()
        self._carriers: list[threading.Thread] = []  # of connections; `_accepting`'s until that has ended
        self._lock = threading.Lock()
        super().__init__(address, _Connection)
        self._accepting = threading.Thread(target=self._accept, name=f"registry {self.host}", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server_port

    @property
    def host(self) -> str:
        """`host:port`, as it stands in a reference."""
        return f"{self.server_name}:{self.server_port}"

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        return f"http://{self.host}"

    def server_bind(self) -> None:
        """Binds without asking DNS for this machine's name, as `HTTPServer` would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def start(self) -> None:
        """Accepts connections until `stop`, in a thread."""
        self._accepting.start()

    def _accept(self) -> None:
        while not self._stopping.is_open:
            self.handle_request()

    def stop(self) -> None:
        """Ends listening and every connection; returns when their threads are done."""
        self._stopping.release()
        with self._lock:
            for connection in self._live:
                _shut(connection)
        socket.create_connection((self.server_name, self.server_port)).close()  # wakes `_accept`
        self._accepting.join()
        end = monotonic() + _STOP_SECONDS
        for thread in self._carriers:
            thread.join(max(0, end - monotonic()))
        if left := sum(thread.is_alive() for thread in self._carriers):
            _log.error("%d connections of the test registry did not end", left)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accepts one more connection."""
        connection, address = super().get_request()
        with self._lock:
            self._live.add(connection)
        return connection, address

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serves one more connection, in a thread of its own."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        thread.start()
        self._carriers = [*(each for each in self._carriers if each.is_alive()), thread]

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - the base class's
        """Turns away who comes while the server stops."""
        return not self._stopping.is_open

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Ends a connection in order (FIN)."""
        self._forget(cast(socket.socket, request))  # a tuple only for datagrams
        super().shutdown_request(request)

    def reset(self, connection: socket.socket) -> None:
        """Ends a connection with RST. Its file descriptor goes at once: the base class would send FIN first."""
        self._forget(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        os.close(connection.detach())

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._live.discard(connection)

    def wait(self, gate: Gate | None, seconds: float | None) -> None:
        """Blocks until `gate` opens, `seconds` are over, or the server stops: `_Ended`, so that who was held sends nothing more."""
        wake = threading.Event()
        gates = [self._stopping, *([gate] if gate else [])]
        for each in gates:
            each.enter(wake.set)
        wake.wait(seconds)
        for each in gates:
            each.leave(wake.set)
        if self._stopping.is_open:
            raise _Ended  # `stop` wakes first and shuts then: the connection may still carry what is sent in between

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's
        """A client that goes away is no news; anything else is a defect of this package."""
        _log.exception("the test registry failed to answer")


@final
class _Connection(BaseHTTPRequestHandler):
    """One connection of a client, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RegistryServer
    connection: socket.socket

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client may go away while we wait for its next request
            super().handle()

    def _serve(self) -> None:
        try:
            self._send(self.server.registry.respond(self._request()))
        except _Ended:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of the base class

    def _request(self) -> Request:
        names = {name.lower() for name in self.headers}
        headers = {name: ", ".join(self.headers.get_all(name, ())) for name in names}
        parts = urlsplit(self.path)
        length = int(headers.get("content-length", "0")) if headers.get("content-length", "0").isdecimal() else 0
        if length > _BODY_LIMIT_BYTES:
            self.close_connection = True  # the rest of it stays unread
            length = _BEGINNING_BYTES
        body = self.rfile.read(length)
        return Request(self.command, unquote(parts.path), parts.query, headers, body)

    def _send(self, response: Response) -> None:
        answer = response.answer
        for wait in answer.before:
            self._walk(wait)
        headers = response.headers
        if not answer.announced or self.close_connection:
            headers["Connection"] = "close"
            self.close_connection = True
        phrase = self.responses.get(HTTPStatus(answer.status), ("",))[0]
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self._write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        for step in answer.steps():
            if not isinstance(step, Send):
                self._walk(step)
            elif isinstance(step.body, FileBody):
                self._send_file(step.body, step.range, response.served)
            else:
                for piece in step.pieces():
                    self._write(piece, response.served)

    def _walk(self, step: Break) -> None:
        match step:
            case Pause(seconds):
                self.server.wait(None, seconds)
            case Hold(gate):
                self.server.wait(gate, None)
            case Cut(reset):
                if reset:
                    self.server.reset(self.connection)
                raise _Ended

    def _write(self, data: bytes, served: Served | None = None) -> None:
        """Sends all of `data`. Counted before it goes, and taken back if it does not: who has the last byte finds it counted."""
        left = memoryview(data)
        if served:
            served.sent_bytes += len(left)
        try:
            while left:
                left = left[self.connection.send(left) :]
        except OSError as error:
            if served:
                served.sent_bytes -= len(left)
            raise _Ended from error

    def _send_file(self, body: FileBody, run: ByteRange, served: Served) -> None:
        """The same, from the page cache to the socket, without a copy in this process."""
        with body.path.open("rb") as file:
            for piece in run.pieces(_SENDFILE_BYTES):
                start = piece.start
                while start < piece.stop:
                    served.sent_bytes += piece.stop - start
                    try:
                        sent = os.sendfile(self.connection.fileno(), file.fileno(), start, piece.stop - start)
                    except OSError as error:
                        served.sent_bytes -= piece.stop - start
                        raise _Ended from error
                    served.sent_bytes -= piece.stop - start - sent
                    if not sent:
                        raise _Ended  # the file was cut short under us
                    start += sent

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Says nothing: `MemoryRegistry.log` has it, without secrets."""


@contextmanager
def serve(registry: MemoryRegistry, host: str = "127.0.0.1", port: int = 0) -> Iterator[RegistryServer]:
    """Serves `registry` until the block is left; port 0 takes a free one. Raises `OSError` where the address is taken."""
    server = RegistryServer(registry, (host, port))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the client may have done so
        connection.shutdown(socket.SHUT_RDWR)
