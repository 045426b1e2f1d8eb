"""The registry client of one process: connections, tokens and counters that all repositories share."""

import logging
from types import TracebackType
from typing import Final, Self, final

import httpx2

from mkfs.oci.reference import Reference
from mkfs.registry.auth import Authority
from mkfs.registry.credentials import Credentials
from mkfs.registry.exchange import Exchange
from mkfs.registry.hosts import origin_of
from mkfs.registry.peers import Peers
from mkfs.registry.pool import PoolTransport
from mkfs.registry.repository import Repository
from mkfs.registry.settings import UNVERIFIED, ClientSettings
from mkfs.registry.tokens import Tokens
from mkfs.registry.transport import ClientStatistics, Transport
from mkfs.registry.trust import Trust

_log: Final = logging.getLogger(__name__)


@final
class RegistryClient:
    """An asynchronous context manager; leaving it closes every connection, those in use included.

    `inner` replaces the network (an `httpx2` transport, for tests); it is closed with the client.
    """

    def __init__(
        self, settings: ClientSettings, credentials: Credentials, *, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._settings, self._credentials = settings, credentials
        self._peers = Peers()
        self._transport = Transport(inner or PoolTransport(settings.proxies, Trust(settings.tls), peers=self._peers))
        self._tokens = Tokens(self._transport)
        if not settings.tls.verify:
            _log.warning(UNVERIFIED)

    def repository(self, reference: Reference, must_be_public: bool = False) -> Repository:  # noqa: FBT001, FBT002 - see Elsewhere
        """The repository that `reference` names. Nothing is asked yet. Raises `UsageError` where its host makes no sense.

        `must_be_public`: from now on no connection is made to that host and port where its name leads into a private network.
        Through a proxy, which looks names up itself, that cannot be seen.
        """
        reading, pushing = (self._exchange(reference, actions) for actions in ("pull", "pull,push"))
        if must_be_public:
            self._peers.must_be_public(reading.origin)
        return Repository(reading, pushing)

    def _exchange(self, reference: Reference, actions: str) -> Exchange:
        authority = Authority(
            registry=reference.registry,
            repository=reference.repository,
            origin=origin_of(reference.registry, plain_http=self._settings.plain_http),
            plain_http=self._settings.plain_http,
            credentials=self._credentials,
            tokens=self._tokens,
            actions=actions,
        )
        return Exchange(self._transport, authority)

    def statistics(self) -> ClientStatistics:
        """A snapshot of what was sent and received so far."""
        return self._transport.statistics()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.aclose()
