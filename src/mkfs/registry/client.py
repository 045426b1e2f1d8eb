"""The registry client of one process: connections, tokens and counters that all repositories share."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, final

import httpx2

from mkfs.oci.reference import Reference
from mkfs.registry.auth import Authority
from mkfs.registry.blobs import Blobs
from mkfs.registry.credentials import Credentials
from mkfs.registry.endpoints import Endpoint, Endpoints
from mkfs.registry.exchange import Exchange
from mkfs.registry.hosts import origin_of
from mkfs.registry.peers import Peers
from mkfs.registry.pool import PoolTransport
from mkfs.registry.repository import Repository
from mkfs.registry.routes import Route, Routes
from mkfs.registry.settings import UNVERIFIED, ClientSettings
from mkfs.registry.tokens import Tokens
from mkfs.registry.transport import ClientStatistics, Transport
from mkfs.registry.trust import Trust

if TYPE_CHECKING:  # a mount has none
    from mkfs.registry.listening import Ear

_log: Final = logging.getLogger(__name__)


@final
class RegistryClient:
    """An asynchronous context manager; leaving it closes every connection, those in use included.

    `inner` replaces the network (an `httpx2` transport, for tests); it is closed with the client. `ear`
    listens to what is asked and answered.
    """

    def __init__(
        self,
        settings: ClientSettings,
        credentials: Credentials,
        *,
        inner: httpx2.AsyncBaseTransport | None = None,
        ear: "Ear | None" = None,
    ) -> None:
        self._credentials = credentials
        self._routes = Routes(settings.hosts, plain_http=settings.plain_http)
        self._trust, self._peers = Trust(settings.tls), Peers()
        network = inner or PoolTransport(settings.proxies, self._trust, peers=self._peers)
        self._transport = Transport(network if ear is None else ear.around(network))
        self._tokens = Tokens(self._transport)
        if not settings.tls.verify:
            _log.warning(UNVERIFIED)

    def repository(self, reference: Reference, must_be_public: bool = False) -> Repository:  # noqa: FBT001, FBT002 - see Elsewhere
        """The repository that `reference` names. Nothing is asked yet; what the node says of its hosts is read, blocking.

        `must_be_public`: from now on no connection is made to the host named there where its name leads into a private network.
        Through a proxy, which looks names up itself, that cannot be seen. Hosts of other names, mirrors, are the node's own word.

        Raises `UsageError` where a host or one of those files makes no sense, or the registry is blocked.
        """
        routes = self._routes.of(reference.registry, reference.repository)
        if must_be_public:
            named = origin_of(reference.registry, plain_http=False)
            for route in routes:
                if route.origin.host == named.host:
                    self._peers.must_be_public(route.origin)
        *mirrors, own = routes
        endpoints = [self._endpoint(route, is_mirror=True) for route in mirrors]
        endpoints.append(self._endpoint(own, is_mirror=False))
        pushing = Exchange(self._transport, self._authority(own, "pull,push"), own)
        return Repository(reference, Endpoints(endpoints, self._transport.passed_over), pushing, self.tag_moved)

    def _endpoint(self, route: Route, *, is_mirror: bool) -> Endpoint:
        if route.tls is not None:
            self._trust.tell(route.origin, route.tls)
        exchange = Exchange(self._transport, self._authority(route, "pull"), route, patient=not is_mirror)
        return Endpoint(exchange, Blobs(exchange), is_mirror, tags=route.tags, digests=route.digests)

    def _authority(self, route: Route, actions: str) -> Authority:
        return Authority(
            registry=route.registry,
            repository=route.repository,
            origin=route.origin,
            plain_http=route.plain_http,
            credentials=self._credentials,
            tokens=self._tokens,
            actions=actions,
        )

    def tag_moved(self) -> None:
        """Counts that a tag means something else than it did. For whoever asks again what a tag means."""
        self._transport.tag_moved()

    def statistics(self) -> ClientStatistics:
        """A snapshot of what was sent and received so far."""
        return self._transport.statistics()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.aclose()
