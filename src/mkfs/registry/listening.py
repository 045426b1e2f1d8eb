"""What a client asks and is answered, for somebody who tells how a registry answers: hosts, statuses, times. No header that holds a
secret, and no address, which may be signed.
"""

import time
from dataclasses import dataclass, field
from typing import Final, final

import httpx2

from mkfs.registry.urls import Origin

_REDIRECTS: Final = range(300, 400)


@final
@dataclass(frozen=True, slots=True)
class Heard:
    """One answer. `kind` is the part of a registry that was asked ("manifests", "blobs"; "" for what is none); `shown` the scheme
    of the credentials that it saw; `date` its clock and `local_seconds` ours, when it came.
    """

    method: str
    origin: Origin
    kind: str
    status: int
    seconds: float
    shown: str
    date: str
    local_seconds: float

    @property
    def redirects(self) -> bool:
        """Whether it sent us on."""
        return self.status in _REDIRECTS


@final
@dataclass(slots=True)
class Ear:
    """Everything that was heard, in order; `around` a network it listens."""

    heard: list[Heard] = field(default_factory=list)

    def around(self, network: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
        """`network`, listened to."""
        return _Listening(network, self)


@final
class _Listening(httpx2.AsyncBaseTransport):
    def __init__(self, network: httpx2.AsyncBaseTransport, ear: Ear) -> None:
        self._network, self._ear = network, ear

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        started = time.monotonic()
        response = await self._network.handle_async_request(request)
        url = request.url
        self._ear.heard.append(
            Heard(
                method=request.method,
                origin=Origin.of(url.scheme, url.netloc.decode("ascii")),
                kind=next((kind for kind in ("manifests", "blobs", "referrers") if f"/{kind}/" in url.path), ""),
                status=response.status_code,
                seconds=time.monotonic() - started,
                shown=request.headers.get("Authorization", "").partition(" ")[0],
                date=response.headers.get("Date") or "",
                local_seconds=time.time(),
            )
        )
        return response

    async def aclose(self) -> None:
        await self._network.aclose()
