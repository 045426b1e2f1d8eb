"""One request over either carrier of the test registry, and what a client saw of the answer.

`Sockets` speaks `http.client` to a served registry, `Memory` httpx2 to the same registry without a socket.
"""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import httpx2
import trio

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.testing.transport import MemoryTransport

_CLIENT_SECONDS: Final = 30.0  # a carrier that hangs fails its test instead of the whole run


@dataclass(frozen=True)
class Ask:
    """What to send."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Seen:
    """What came back: status 0 is no answer at all; header names are lower case."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: Literal["complete", "cut short", "reset"] = "complete"


class Carrier(Protocol):
    """Either of them."""

    def fetch(self, ask: Ask) -> Seen:
        """One request, and all that came."""


class Sockets:
    """A client with a connection of its own for each request."""

    def __init__(self, server: RegistryServer) -> None:
        self._server = server

    def fetch(self, ask: Ask) -> Seen:
        """Over a socket."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=_CLIENT_SECONDS)
        seen = Seen()
        try:
            connection.request(ask.method, ask.path, ask.body or None, dict(ask.headers))
            response = connection.getresponse()
            seen.status = response.status
            seen.headers = {name.lower(): value for name, value in response.getheaders()}
            while piece := response.read1(4096):
                seen.body += piece
            if response.length:  # `read1` takes an early end for the end
                seen.ended = "cut short"
        except http.client.RemoteDisconnected:
            seen.ended = "cut short"
        except ConnectionResetError:
            seen.ended = "reset"
        finally:
            connection.close()
        return seen


class Memory:
    """A client without a network."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry

    def fetch(self, ask: Ask) -> Seen:
        """In a trio loop of its own."""
        return trio.run(self._fetch, ask)

    async def _fetch(self, ask: Ask) -> Seen:
        seen = Seen()
        async with httpx2.AsyncClient(transport=MemoryTransport(self._registry)) as client:
            try:
                url = f"http://registry.test{ask.path}"
                async with client.stream(ask.method, url, headers=dict(ask.headers), content=ask.body) as response:
                    seen.status, seen.headers = response.status_code, dict(response.headers)
                    async for piece in response.aiter_raw():
                        seen.body += piece
            except httpx2.RemoteProtocolError:
                seen.ended = "cut short"
            except httpx2.ReadError:
                seen.ended = "reset"
        return seen
