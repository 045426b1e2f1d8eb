"""The hosts that serve one repository, in the order in which they are asked: mirrors as the node's administrator listed them, then
the registry itself.

A mirror is a stranger on the way: what it says is proven as everything is, and what it does not have, or does not answer, costs one
try. One that fails is asked last for a while, so a mirror that hangs is met once a minute, not once a chunk. Nothing of this is
about trust: a tag means what the first host says that may resolve tags.

Atomic between checkpoints: when each host failed last.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar, final

import trio
from msgspec import Struct

from mkfs.errors import BadDocument, IntegrityError, MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.blobs import Blobs, Body
from mkfs.registry.exchange import Exchange

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)

ASIDE_SECONDS: Final = 60.0  # a host that failed is asked after the others for so long
# What one host does wrong and another may do right.
FAILURES: Final = (NotFound, NotAuthorised, Unreachable, IntegrityError, BadDocument)


@final
class Endpoint(Struct, eq=False):
    """One host. `tags`: whether it may say what a tag means; `digests`: whether it is asked for what has a digest."""

    exchange: Exchange
    blobs: Blobs
    is_mirror: bool
    tags: bool = True
    digests: bool = True
    aside_until: float = 0.0  # on trio's clock


@final
class Endpoints:
    """All of them, the registry itself last. `passed_over` is called when a mirror failed."""

    def __init__(self, endpoints: Sequence[Endpoint], passed_over: Callable[[], None]) -> None:
        self._endpoints, self._passed_over = endpoints, passed_over

    @property
    def registry(self) -> Endpoint:
        """The registry itself."""
        return self._endpoints[-1]

    @property
    def aside(self) -> tuple[str, ...]:
        """Mirrors that failed lately, and are asked after the others for now."""
        now = trio.current_time()
        return tuple(each.exchange.origin.authority for each in self._endpoints if each.is_mirror and each.aside_until > now)

    async def first(self, work: Callable[[Endpoint], Awaitable[T]], *, by_tag: bool = False, fresh: bool = False) -> T:
        """What `work` gives with the first host that it works with. Raises what the registry itself raised."""
        said: MkfsError | None = None
        for endpoint in self._order(by_tag=by_tag, fresh=fresh):
            try:
                return await work(endpoint)
            except FAILURES as error:
                said = self.failed(endpoint, error, said)
        raise said or AssertionError("no host to ask")

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool) -> AsyncGenerator[Body, None]:
        """The range from the first host that begins to send it. One whose body breaks is asked last the next time."""
        said: MkfsError | None = None
        for endpoint in self._order(fresh=fresh):
            begun = False
            try:
                async with endpoint.blobs.open_range(blob, wanted, fresh=fresh) as body:
                    begun = True
                    yield body
                    return
            except FAILURES as error:
                said = self.failed(endpoint, error, said)
                if begun:
                    raise
        raise said or AssertionError("no host to ask")

    def failed(self, endpoint: Endpoint, error: MkfsError, said: MkfsError | None) -> MkfsError:
        """Takes note of it. Gives what to say in the end: the registry's own word, if there is one."""
        if not isinstance(error, NotFound):
            endpoint.aside_until = trio.current_time() + ASIDE_SECONDS
        if not endpoint.is_mirror:
            return error
        self._passed_over()
        _log.info("mirror %s: %s", endpoint.exchange.origin.authority, error)
        return said or error

    def _order(self, *, by_tag: bool = False, fresh: bool = False) -> Iterator[Endpoint]:
        """Whom to ask, first to last. What is wanted `fresh` came wrong from a host, so the registry itself comes first."""
        now = trio.current_time()
        asked = [each for each in self._endpoints if (each.tags if by_tag else each.digests) or not each.is_mirror]
        return iter(sorted(asked, key=lambda each: (fresh and each.is_mirror, each.aside_until > now and each.is_mirror)))
