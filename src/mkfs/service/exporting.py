"""What a mount tells over HTTP, where `--metrics-address` asks for it: metrics, and whether it serves.

    /metrics    the metrics of docs/METRICS.md
    /healthz    200 while the mount serves, else 503 and why
    /readyz     the same, but 503 as soon as it was told to stop

The address is taken before the registry is asked, so that one that cannot be had is an error of the command; questions are answered
from then on. h11 and prometheus_client are loaded only where there is such an address.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, final

import trio

from mkfs.fuse.mountinfo import mount_at
from mkfs.service.health import Health
from mkfs.service.listening import Address, bound, listen

if TYPE_CHECKING:
    from mkfs.service.companions import Mounted
    from mkfs.service.http_server import Reply


@final
class Exporter:
    """Answers for one mount, once it is shown. `address` is where it is asked."""

    def __init__(self, address: Address) -> None:
        self.address, self.health = address, Health()
        self._mounted: Mounted | None = None

    @property
    def notice(self) -> str:
        """For whoever mounts."""
        return f"metrics at http://{self.address}/metrics"

    def show(self, mounted: "Mounted") -> None:
        """From now on there is something to tell of."""
        self._mounted = mounted

    def complaint(self, *, stopping_counts: bool) -> str:
        """Why it does not serve; "" while it does."""
        mounted = self._mounted
        if mounted is None:
            return "not mounted yet"
        if mounted.session.clean:
            return "not mounted any more"
        if mounted.session.stopping and stopping_counts:
            return "stopping"
        if mounted.session.handed:  # somebody else mounted, perhaps where this process cannot look
            return ""
        entry = mount_at(mounted.session.mountpoint)
        if entry is None or entry.device != mounted.session.device:
            return "somebody else unmounted the directory, or mounted over it"
        return ""

    async def answer(self, path: str, accept: str) -> "Reply | None":
        """See `http_server.Answering`."""
        from mkfs.service.http_server import Reply, saying

        if path == "/metrics":
            body, content_type = await self._metrics(accept)
            return Reply(body, content_type=content_type)
        if path in {"/healthz", "/readyz"}:
            complaint = self.complaint(stopping_counts=path == "/readyz")
            return saying(complaint, HTTPStatus.SERVICE_UNAVAILABLE) if complaint else saying("ok")
        return None

    async def _metrics(self, accept: str) -> tuple[bytes, str]:
        from mkfs.service.metrics.moment import moment_of
        from mkfs.service.metrics.text import text_of

        mounted = self._mounted
        moment = None if mounted is None else moment_of(mounted, await mounted.weigher.space())
        return text_of(moment, ready=not self.complaint(stopping_counts=False), lag=self.health.lag.snapshot(), accept=accept)


@asynccontextmanager
async def exporting(address: Address | None) -> AsyncGenerator[Exporter | None, None]:
    """Listens at `address` for the length of the block. Raises `UsageError` where it cannot be had; None: nothing is told."""
    if address is None:
        yield None
        return
    taken = listen(address)
    taken.settimeout(0)
    from mkfs.service.http_server import HttpServer

    exporter = Exporter(bound(taken))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exporter.health.watch)
        nursery.start_soon(HttpServer(exporter.answer).serve, trio.SocketListener(trio.socket.from_stdlib_socket(taken)))
        try:
            yield exporter
        finally:
            nursery.cancel_scope.cancel()
