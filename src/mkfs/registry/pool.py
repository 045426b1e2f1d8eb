"""Connections: httpcore2's pool behind httpx2's transport interface, receiving a mebibyte at a time; beside it the bulk lane.

Why not `httpx2.AsyncClient`: it receives 64 KiB at a time (1.6 CPU seconds per GiB on the machine this was measured on; 0.94 with
1 MiB), keeps cookies, logs every URL with its query at INFO, and takes passwords out of URLs. A transport does none of that, and
both interfaces used here are public.

Cancellation: httpcore 1.0.9 leaked a slot of its pool for good when a waiting request was cancelled. httpcore2 2.16 does not:
requests cancelled under contention, at every await, leave it usable (`tests/registry/test_cancellation.py`, on the bare pool,
fails with the one and passes with the other). The slots are still counted outside, in `slots`: the pool knows no hosts, and whoever
waits in it would be invisible to statistics. It and the lane's threads are as many as there are slots, so nobody waits here.
"""

import logging
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Final, final

import httpcore2
import httpx2
import trio

from mkfs.errors import UsageError
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.lane import Lane
from mkfs.registry.peers import Peers
from mkfs.registry.proxies import Proxies
from mkfs.registry.slots import SLOTS
from mkfs.registry.trust import HostTls, Trust
from mkfs.registry.urls import Origin
from mkfs.units import MIB

RECEIVE_BYTES: Final = MIB  # asked of the socket at once; it gives what it has
# Shorter than the idle time-outs of servers and load balancers (60 s and more), so that a request seldom meets a closing
# connection.
IDLE_SECONDS: Final = 30.0
# Ranges of this length and more take the bulk lane. Below it the pool's connections, warm since the mount, are worth more than what
# the lane saves: some 5 ms for 4 MiB.
BULK_BYTES: Final = 4 * MIB

_RANGE: Final = re.compile(r"bytes=([0-9]+)-([0-9]+)", re.ASCII)


@final
class WideStream(httpcore2.AsyncNetworkStream):
    """A connection that receives up to `RECEIVE_BYTES` at once, whatever it is asked for: its only reader parses all it gets."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's own parameter
        """The next bytes; b"" at the end."""
        return await self._stream.read(max(max_bytes, RECEIVE_BYTES), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface's own parameter
        """Sends all of `buffer`."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own parameter
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection under TLS. A handshake that fails or is cancelled closes it: httpcore2 forgets it when cancelled."""
        try:
            return WideStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._stream.aclose()  # closes the socket, and waits for nobody
            raise

    def get_extra_info(self, info: str) -> object:
        """What the pool asks about the socket."""
        return self._stream.get_extra_info(info)


@final
class WideBackend(httpcore2.AsyncNetworkBackend):
    """Opens `WideStream`s, to whom `peers` lets us."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, peers: Peers) -> None:
        self._backend, self._peers = backend, peers

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own parameter
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to `host`. Raises `Hopeless` for one that must not be."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            self._peers.check(host, port, str((stream.get_extra_info("server_addr") or ("",))[0]))
        except Hopeless:
            await stream.aclose()
            raise
        return WideStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._backend.sleep(seconds)


@final
class PoolTransport(httpx2.AsyncBaseTransport):
    """Sends requests over pooled HTTP/1.1 connections, directly or through a proxy. Raises the exceptions of httpcore2, and those
    that the lane raises.

    HTTP/1.1 because it is faster for bulk: with HTTP/2 one lost packet stalls every stream. Nothing is retried, redirected or
    decoded. `backend` replaces the network (for tests), and with it the lane, which makes its own connections.
    """

    def __init__(
        self,
        proxies: Proxies,
        trust: Trust,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        *,
        peers: Peers | None = None,
    ) -> None:
        peers = peers or Peers()
        self._proxies, self._trust = proxies, trust
        self._backend = WideBackend(backend or httpcore2.TrioBackend(), peers)
        self._lane: Lane | None = None
        if backend is None:
            self._lane = Lane(self._tls, peers, limit=SLOTS, idle_seconds=IDLE_SECONDS)
        # By scheme, proxy and what says whom TLS believes.
        self._pools: dict[tuple[str, str, Path | HostTls | None], httpcore2.AsyncConnectionPool] = {}
        logging.getLogger("httpcore2").setLevel(logging.WARNING)  # below, it logs headers: tokens and signed addresses

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The head of the answer; its body comes through the response's stream, which must be closed."""
        if not isinstance(request.stream, httpx2.AsyncByteStream):
            raise TypeError("a request body of this client is bytes")
        url = request.url
        origin = Origin.of(url.scheme, url.netloc.decode("ascii"))
        proxy = self._proxies.for_origin(origin)
        if self._lane is not None and not proxy and _is_bulk(request):
            return await self._lane.ask(request)
        answer = await self._pool(origin, proxy).handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        """Closes every connection, also those in use."""
        for pool in self._pools.values():
            await pool.aclose()
        if self._lane is not None:
            self._lane.close()

    def _pool(self, origin: Origin, proxy: str) -> httpcore2.AsyncConnectionPool:
        about = self._trust.about(origin) if origin.scheme == "https" else None
        key = (origin.scheme, proxy, about)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._new_pool(*key)
        return pool

    def _tls(self, origin: Origin) -> ssl.SSLContext:
        """For a connection of the lane. Loading the certificates takes some 20 ms, which plain HTTP need not pay."""
        context = self._trust.context(self._trust.about(origin))
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _new_pool(self, scheme: str, proxy: str, about: Path | HostTls | None) -> httpcore2.AsyncConnectionPool:
        context = self._trust.context(about) if scheme == "https" else None
        if not proxy:
            return httpcore2.AsyncConnectionPool(
                ssl_context=context,
                max_connections=SLOTS,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=self._backend,
            )
        try:
            through = httpx2.Proxy(proxy)
        except (httpx2.InvalidURL, ValueError) as error:
            raise UsageError("the proxy in the environment is not a URL", hint="check HTTP_PROXY and HTTPS_PROXY") from error
        if not through.url.host:
            raise UsageError("the proxy in the environment has no host", hint="check HTTP_PROXY and HTTPS_PROXY")
        if through.url.scheme not in ("http", "https"):
            raise UsageError(f"the proxy in the environment speaks {through.url.scheme!r}", hint="proxies speak http or https")
        return httpcore2.AsyncHTTPProxy(
            proxy_url=httpcore2.URL(
                scheme=through.url.raw_scheme, host=through.url.raw_host, port=through.url.port, target=through.url.raw_path
            ),
            proxy_auth=through.raw_auth,
            proxy_ssl_context=self._trust.context(None) if through.url.scheme == "https" else None,
            ssl_context=context,
            max_connections=SLOTS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._backend,
        )


@final
class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        if not isinstance(self._answer.stream, AsyncIterable):
            raise TypeError("the body of an asynchronous answer is asynchronous")
        return aiter(self._answer.stream)

    async def aclose(self) -> None:
        await self._answer.aclose()


def _is_bulk(request: httpx2.Request) -> bool:
    """Whether a long range is asked for. A whole blob is asked for without one, by whoever reads little or met a server that knows
    no ranges.
    """
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    return request.method == "GET" and asked is not None and int(asked[2]) - int(asked[1]) + 1 >= BULK_BYTES
