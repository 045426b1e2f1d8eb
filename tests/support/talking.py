"""Ports with nobody behind them, or somebody who is no registry: for what a client does with answers that nobody should give."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def nobody() -> Iterator[int]:
    """A port that refuses connections. It is taken, so that no server of another test gets it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def speaking(*said: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where each caller hears `said`, one for each request, and then no more; under TLS where there is a `context`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        called: list[socket.socket] = []

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), connection, _secured(connection, context) as secured:
                called.append(secured)
                for answer in said:
                    if not secured.recv(4096):
                        return
                    secured.sendall(answer)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            for each in (listener, *called):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()


def _secured(connection: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    return connection if context is None else context.wrap_socket(connection, server_side=True)
