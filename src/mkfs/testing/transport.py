"""Carries a `MemoryRegistry` into an httpx2 client without sockets, in the caller's trio loop: time may be an autojump clock.

    transport = MemoryTransport({"registry.test": registry, "storage.test": elsewhere})
    httpx2.AsyncClient(transport=transport)

Errors are those of the real transport: a body cut short is `RemoteProtocolError`, a reset `ReadError`, a wait longer than the
request's read timeout `ReadTimeout`, an unknown host `ConnectError`. Connections are not modelled: no pool fills or leaks.
"""

import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, final
from urllib.parse import unquote

import httpx2
import trio

from mkfs.testing.answers import Break, Cut, Hold, Pause, Request
from mkfs.testing.registry import MemoryRegistry, Response
from mkfs.units import KIB

# httpcore2 reads at most so much at once.
PIECE_BYTES: Final = 64 * KIB


@final
class MemoryTransport(httpx2.AsyncBaseTransport):
    """Routes requests to registries by `host[:port]`; a single registry answers for every host."""

    def __init__(self, registries: MemoryRegistry | Mapping[str, MemoryRegistry]) -> None:
        self._registries = registries

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request and the head of its answer. Cancelling it leaves nothing behind."""
        registry = self._registry(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.aread()
        query = request.url.query.decode("ascii")
        response = registry.respond(Request(request.method, unquote(request.url.path), query, headers, body))
        patience = _Patience(request)
        await trio.lowlevel.checkpoint()
        for step in response.answer.before:
            await patience.walk(step, "Server disconnected without sending a response.")
        return httpx2.Response(response.status, headers=response.headers, stream=_Body(response, patience))

    def _registry(self, request: httpx2.Request) -> MemoryRegistry:
        if isinstance(self._registries, MemoryRegistry):
            return self._registries
        host = request.url.netloc.decode("ascii")
        registry = self._registries.get(host)
        if registry is None:
            raise httpx2.ConnectError(f"no registry at {host}", request=request)
        return registry


@final
class _Patience:
    """Waits as long as the request's read timeout allows at a time."""

    def __init__(self, request: httpx2.Request) -> None:
        self._request = request
        timeouts = request.extensions.get("timeout", {})
        seconds = timeouts.get("read")
        self._seconds = math.inf if seconds is None else seconds

    async def walk(self, step: Break, cut_short: str) -> None:
        """Does what `step` says; `cut_short` is the message for a connection closed in order."""
        if isinstance(step, Cut):
            if step.reset:
                raise httpx2.ReadError("connection reset by peer", request=self._request)
            raise httpx2.RemoteProtocolError(cut_short, request=self._request)
        with trio.move_on_after(self._seconds) as scope:
            match step:
                case Pause(seconds):
                    await trio.sleep(seconds)
                case Hold(gate):
                    await gate.passed()
        if scope.cancelled_caught:
            raise httpx2.ReadTimeout(f"no byte for {self._seconds} s", request=self._request)


@final
class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: Response, patience: _Patience) -> None:
        self._response, self._patience = response, patience
        self._items = _small(response.items())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        answer, served = self._response.answer, self._response.served
        for item in self._items:
            if isinstance(item, bytes):
                served.sent_bytes += len(item)
                return item
            if isinstance(item, Cut) and not item.reset and not answer.announced:
                break  # the end of the connection is the end of the body
            received = f"received {served.sent_bytes} bytes, expected {answer.span.length}"
            await self._patience.walk(item, f"peer closed connection without sending complete message body ({received})")
        raise StopAsyncIteration


def _small(items: Iterator[bytes | Break]) -> Iterator[bytes | Break]:
    for item in items:
        if isinstance(item, bytes):
            yield from (item[start : start + PIECE_BYTES] for start in range(0, len(item), PIECE_BYTES))
        else:
            yield item
