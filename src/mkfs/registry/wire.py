"""A connection of our own, plain or TLS, that receives large amounts straight into the caller's memory, in threads.

Theory. The loop waits, threads receive. `receive_into` hands the socket to a thread only for as long as bytes flow: it fills the
target, waits a moment (`_LINGER_SECONDS`) for more when there is nothing, and comes back with what it has, at the latest after
`_SLICE_SECONDS`. Longer waits, for an answer or in a stall, are the loop's, where deadlines and cancellation are. Who cancels gets
control only when the thread is back: nobody writes into memory that its owner has taken back.

In a thread, because TLS decrypts there, and because the copy out of the kernel would be the loop's otherwise. The interpreter's
lock is let go for both.
"""

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Self, final

import httpcore2
import trio

from mkfs.registry.peers import Peers
from mkfs.registry.urls import Origin
from mkfs.units import MIB

# Longer than the gaps between segments of a transfer that runs, so that it keeps its thread.
_LINGER_SECONDS: Final = 0.02
# Progress is seen at least this often, on the slowest link (locks between processes count on news every second), and nobody who
# cancels waits longer.
_SLICE_SECONDS: Final = 0.25
# Received before whoever follows has a turn: half of what a core has of second-level cache, on machines of today.
_STEP_BYTES: Final = MIB
# What sockets say that have nothing now. TLS may want to write while it reads (a change of keys); kernel buffers take that at once.
_NOTHING_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@final
class Wire:
    """A connection, by one task at a time. `close` it on every way out."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None, connected: socket.socket) -> None:
        """`connected` is non-blocking, and this object's from now on."""
        self.origin, self.context = origin, context
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    @classmethod
    async def connect(cls, origin: Origin, context: ssl.SSLContext | None, peers: Peers, seconds: float) -> Self:
        """Calls `origin`, if `peers` lets us; with `context` under TLS, the certificate checked against its host name.

        Raises `Hopeless` for a peer that must not be; `httpcore2.ConnectTimeout` after `seconds`, for each of both steps;
        `OSError`, which is also what TLS raises.
        """
        with _deadline(seconds):
            stream = await trio.open_tcp_stream(host=origin.host, port=origin.port)
        connected = socket.socket(fileno=stream.socket.detach())
        try:
            peers.check(origin.host, origin.port, connected.getpeername()[0])
            connected.settimeout(0)
            if context is not None:
                connected = context.wrap_socket(connected, server_hostname=origin.host, do_handshake_on_connect=False)
                with _deadline(seconds):
                    await _shake_hands(connected)
        except BaseException:
            connected.close()
            raise
        return cls(origin, context, connected)

    async def send(self, data: bytes) -> None:
        """Sends all of `data`. Raises `OSError`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except _NOTHING_NOW:
                await trio.lowlevel.wait_writable(self._socket)

    async def receive(self, limit_bytes: int) -> bytes:
        """The next bytes, on the loop; b"" at the end. Raises `OSError`."""
        while True:
            try:
                return self._socket.recv(limit_bytes)
            except _NOTHING_NOW:
                await trio.lowlevel.wait_readable(self._socket)

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None, threads: trio.CapacityLimiter) -> int:
        """Fills `target` (not empty) from its start; how many bytes came, 0 at the end. Waits for the first, not for all.

        `follow` is told in the thread, every `_STEP_BYTES` at least, how many have come. Raises `OSError`. Cancelling may lose
        bytes: close it then.
        """
        while (count := await trio.to_thread.run_sync(self._take, target, follow, limiter=threads)) is None:
            await trio.lowlevel.wait_readable(self._socket)
        return count

    def _take(self, target: memoryview, follow: Callable[[int], None] | None) -> int | None:
        """In a thread: what comes while it flows. None: nothing, and not the end."""
        done, ends = 0, monotonic() + _SLICE_SECONDS
        while done < len(target) and (not done or monotonic() < ends):
            try:
                count = self._socket.recv_into(target[done : done - done % _STEP_BYTES + _STEP_BYTES])
            except _NOTHING_NOW:
                if not self._poll.poll(_LINGER_SECONDS * 1000):
                    return done or None
                continue
            except OSError:
                if done:  # what came is good; the next call meets the end
                    break
                raise
            if not count:
                break
            done += count
            if follow is not None:
                follow(done)
        return done

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits to be received: not even the end of the connection. So it is while nothing was asked."""
        decrypted = self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0
        return not decrypted and not self._poll.poll(0)

    def close(self) -> None:
        """Ends the connection. Never waits. Twice is fine."""
        self._socket.close()


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """For a step of connecting."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise httpcore2.ConnectTimeout


async def _shake_hands(connected: ssl.SSLSocket) -> None:
    while True:
        try:
            connected.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(connected)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(connected)
        else:
            return
