"""The bulk lane: large bodies without the HTTP library in between.

Theory. A body that comes through the library is copied three times on its way from the socket to the buffer that it is hashed in,
piece by piece, on the loop; under TLS in pieces of 16 KiB. Measured (2 cores, loopback): 1.3 CPU-seconds per GiB, under TLS 4.8;
here 0.44, under TLS 1.1. So large ranges are asked for on connections of this module's own (`wire`): h11 writes the request and
reads the head of the answer, with its limits and checks; from there on a body whose length was announced goes from the socket into
the memory it is meant for. Any other body (chunked, or as long as the connection) is left to h11 and copied.

What is asked, of whom, and whether the answer is believed, is decided above, as for every request: this is a transport, and makes
no difference but speed. A connection serves the next request only if a body of announced length was received to its end and
nothing waits behind it.

Atomic between checkpoints: a connection is in `_idle`, or belongs to one answer, or is closed.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from time import monotonic
from typing import Final, final

import h11
import httpcore2
import httpx2
import trio

from mkfs.registry.peers import Peers
from mkfs.registry.urls import Origin
from mkfs.registry.wire import Wire
from mkfs.units import KIB, MIB

# A head is some hundred bytes, with signed addresses and policies some KiB; h11 gives up beyond this.
_HEAD_LIMIT_BYTES: Final = 64 * KIB
# Received at once while a head is expected: what of it belongs to the body is copied.
_HEAD_BYTES: Final = 4 * KIB
_EMPTY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})  # whatever length they announce
_PIECE_BYTES: Final = MIB  # of bodies that are not received into anybody's memory


@final
class Lane:
    """A transport for GETs without a proxy, to whom `peers` lets us. `context` is asked for where TLS is needed; `limit`:
    connections at once.
    """

    def __init__(self, context: Callable[[Origin], ssl.SSLContext], peers: Peers, *, limit: int, idle_seconds: float) -> None:
        self._context, self._peers, self._idle_seconds = context, peers, idle_seconds
        self._threads = trio.CapacityLimiter(limit)
        self._idle: list[tuple[float, Wire]] = []  # since when; the longest idle first

    async def ask(self, request: httpx2.Request) -> httpx2.Response:
        """The head of the answer; its body comes through the response's stream (a `LaneBody`), which must be closed.

        Raises `OSError` and the exceptions of h11 and httpcore2.
        """
        origin = Origin.of(request.url.scheme, request.url.netloc.decode("ascii"))
        context = self._context(origin) if origin.scheme == "https" else None
        seconds = float(request.extensions["timeout"]["connect"])
        wire = self._take_idle(origin, context) or await Wire.connect(origin, context, self._peers, seconds)
        try:
            http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT_BYTES)
            await wire.send(_written(http, request))
            head = await _head(http, wire)
        except BaseException:
            wire.close()
            raise
        body = LaneBody(wire, http, head, self._threads, self._give_back)
        return httpx2.Response(head.status_code, headers=head.headers.raw_items(), stream=body)

    def _take_idle(self, origin: Origin, context: ssl.SSLContext | None) -> Wire | None:
        """A connection to `origin` that may be used; what is too old, was closed over there, or believed somebody else is closed on
        the way.
        """
        oldest = monotonic() - self._idle_seconds
        found: Wire | None = None
        kept: list[tuple[float, Wire]] = []
        for since, wire in reversed(self._idle):
            known = wire.origin == origin
            if since < oldest or not wire.is_quiet or (known and wire.context is not context):
                wire.close()
            elif found is None and known:
                found = wire
            else:
                kept.append((since, wire))
        self._idle = kept[::-1]
        return found

    def _give_back(self, wire: Wire) -> None:
        self._idle.append((monotonic(), wire))

    def close(self) -> None:
        """Closes what nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()


@final
class LaneBody(httpx2.AsyncByteStream):
    """The body of one answer, by one task. Raises what `Lane.ask` raises, also when the body ends early."""

    def __init__(
        self,
        wire: Wire,
        http: h11.Connection,
        head: h11.Response,
        threads: trio.CapacityLimiter,
        give_back: Callable[[Wire], None],
    ) -> None:
        self._wire, self._http, self._threads, self._give_back = wire, http, threads, give_back
        self._left = _announced(head)  # None: h11 knows where the body ends
        self._reusable = self._left is not None and _stays(head)
        self._closed = False
        self._piece = memoryview(b"")  # received and not handed out
        if self._left is not None:
            came_along = http.trailing_data[0]
            self._reusable = self._reusable and len(came_along) <= self._left
            self._piece = memoryview(came_along)[: self._left]

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:
        """See `registry.ranges.BlobStream`. Cancelled, it leaves a broken body."""
        if not self._piece and self._left is None:
            self._piece = memoryview(await self._decoded())
        if self._piece or self._left is None:
            count = min(len(target), len(self._piece))
            target[:count], self._piece = self._piece[:count], self._piece[count:]
        elif self._left:
            count = await self._wire.receive_into(target[: self._left], follow, self._threads)
            if not count:
                raise httpcore2.RemoteProtocolError("the connection ended within the body")
        else:
            return 0
        if self._left is not None:
            self._left -= count
        return count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The same bytes in pieces."""
        room = bytearray(_PIECE_BYTES)
        while count := await self.receive_into(memoryview(room)):
            yield bytes(memoryview(room)[:count])

    async def _decoded(self) -> bytes:
        """The next bytes as h11 takes them out of what comes; b"" at the end."""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._wire.receive(_PIECE_BYTES))
            elif isinstance(event, h11.Data):
                return bytes(event.data)
            else:  # the end of the message: nothing else follows a head
                return b""

    async def aclose(self) -> None:
        """Leaves the connection to the next answer if this one was received to its end, else ends it. Never waits."""
        if not self._closed:
            self._closed = True
            if self._reusable and self._left == 0:
                self._give_back(self._wire)
            else:
                self._wire.close()


def _written(http: h11.Connection, request: httpx2.Request) -> bytes:
    """A request without a body, as it is sent."""
    asked = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    return (http.send(asked) or b"") + (http.send(h11.EndOfMessage()) or b"")


async def _head(http: h11.Connection, wire: Wire) -> h11.Response:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await wire.receive(_HEAD_BYTES))
        elif isinstance(event, h11.Response):
            return event
        elif not isinstance(event, h11.InformationalResponse):
            raise httpcore2.RemoteProtocolError("the connection ended before an answer")


def _announced(head: h11.Response) -> int | None:
    """How long the body is, where the head says so: RFC 9112, 6.3. h11 has checked that it says it once, and in digits."""
    fields = dict(head.headers)
    if head.status_code in _EMPTY or b"transfer-encoding" in fields or b"content-length" not in fields:
        return None
    return int(fields[b"content-length"])


def _stays(head: h11.Response) -> bool:
    """Whether the connection may serve another request: RFC 9112, 9.3."""
    options = {option.strip().lower() for name, value in head.headers if name == b"connection" for option in value.split(b",")}
    return head.http_version == b"1.1" and b"close" not in options
