"""Where blobs are kept, when that is not at the registry: signed addresses, remembered until the storage host refuses them.

Atomic between checkpoints: an address is here only if a blob's bytes were promised from there; a renewal is under way for a blob if
and only if one reader asks the registry for another address.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, final

import cachetools
import trio
from msgspec import Struct, field

from mkfs.oci.digest import Digest
from mkfs.registry.urls import Url

ADDRESSES_KEPT: Final = 256  # a kit has some tens of layers


@final
class Addresses:
    """The addresses of one repository's blobs."""

    def __init__(self) -> None:
        self._known: cachetools.LRUCache[Digest, Url] = cachetools.LRUCache(ADDRESSES_KEPT)
        self._renewals: dict[Digest, _Renewal] = {}

    def get(self, digest: Digest) -> Url | None:
        """Where the blob was last; None: ask the registry."""
        return self._known.get(digest)

    def keep(self, digest: Digest, address: Url) -> None:
        """The blob's bytes were promised from there."""
        self._known[digest] = address

    def drop(self, digest: Digest) -> None:
        """Where it broke is not where to go on."""
        self._known.pop(digest, None)

    @asynccontextmanager
    async def renewal(self, digest: Digest) -> AsyncGenerator[tuple[Url | None, Callable[[], None]], None]:
        """For whoever was refused at an address: the one to go on with, or None: ask the registry, and call what comes with it once
        that answered as it should.

        Of many who are refused together one asks; the others wait until it did, and go on each for itself if nothing came of that.
        Cancelling the one lets the others go on.
        """
        under_way = self._renewals.get(digest)
        if under_way is not None:
            await under_way.over.wait()
            yield (self._known.get(digest) if under_way.answered else None), _nothing
            return
        renewal = self._renewals[digest] = _Renewal()

        def answered() -> None:
            renewal.answered = True
            self._end(digest, renewal)

        try:
            yield None, answered
        finally:
            self._end(digest, renewal)

    def _end(self, digest: Digest, renewal: "_Renewal") -> None:
        if not renewal.over.is_set():
            renewal.over.set()
            del self._renewals[digest]


@final
class _Renewal(Struct, eq=False):
    over: trio.Event = field(default_factory=trio.Event)
    answered: bool = False


def _nothing() -> None:
    """Nobody waits for this one."""
