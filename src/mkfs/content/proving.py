"""Proving a layer from nothing: whole fetches until one is right, published where the cache has room.

A mismatch is a verdict on a fetch, never on the layer: the layer is fetched once more past all caches; if that is wrong, too, both
are the evidence. Where the cache has no room, the layer is hashed only, and its chunk index is what was gained; not so a compressed
one (`content.inflating`), which nobody could read then.

A fetch that breaks off (the registry is gone, nobody waits any more, the process ends) leaves what it received, unless the layer
is compressed, and the next one goes on with it, in whatever process, as long as its mount may have the layer. What was left may be
wrong, and then says nothing of any fetch: the layer is fetched anew.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar, final

import trio

from mkfs.cache.staging import Staging
from mkfs.cache.stored import StoredLayer
from mkfs.content.admission import Urgency
from mkfs.content.means import LayerMeans
from mkfs.content.whole import WholeFetch
from mkfs.errors import BadArchive, CacheUnusable, Mismatch
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange
from mkfs.units import format_duration, format_size

T = TypeVar("T")

log = logging.getLogger(__name__)

# How often a log line says who waits for what while a layer is being proven.
NARRATION_SECONDS: Final = 10.0
_DAMAGED_HINT: Final = "the registry's copy is damaged: push the artifact again; reads are tried again after a minute"


@final
class Prover:
    """Whole fetches of one layer, one after another; `fetches` were begun. `waiting` says how many reads wait and `urgency` how
    urgent they are.
    """

    def __init__(
        self, means: LayerMeans, content_bytes: int | None, *, waiting: Callable[[], int], urgency: Callable[[], Urgency]
    ) -> None:
        """`content_bytes` of a compressed layer: where the artifact says it, no more is taken."""
        self._means, self._content_bytes = means, content_bytes
        self._engine, self._blob, self._label = means.engine, means.blob, means.label
        self._waiting, self._urgency = waiting, urgency
        self._fetch: WholeFetch | None = None
        self._staging: Staging | None = None  # of that fetch
        self.fetches = 0

    @property
    def received_bytes(self) -> int:
        """Bytes that the fetch under way has received; 0 without one."""
        return self._fetch.received_bytes if self._fetch else 0

    def received(self, wanted: ByteRange) -> bytes | None:
        """Bytes of the layer that the fetch under way has received, unproven; None where it has not, or keeps none. Blocks."""
        staging = self._staging
        try:
            return None if staging is None else staging.read_unproven(wanted)
        except OSError as error:  # published or discarded at this moment, or a failing disk: the registry has them
            log.debug("what was received of %s cannot be read: %s", self._label, error)
            return None

    async def prove(self, grid: Grid, *, must_keep: bool) -> StoredLayer | ChunkIndex:
        """The layer, published as `grid` cuts it; only its chunk index where the cache has no room for it.

        Raises `Mismatch` with the evidence of two fetches, `BadArchive` for right bytes that are no tar, `Unreachable`, `NotFound`,
        `NotAuthorised`; with `must_keep` `CacheUnusable` where there is no room, before the first byte if that can be known.
        """
        return await self._prove(partial(self._fetch_or_go_on, grid, must_keep=must_keep))

    async def inflate(self, expected_bytes: int) -> StoredLayer:
        """A compressed layer, published. `expected_bytes`: of its content, where an earlier proof says so.

        Raises as `prove`; `CacheUnusable` wherever there is no room.
        """
        return await self._prove(partial(self._inflate, expected_bytes))

    async def _prove(self, attempt: Callable[..., Awaitable[T | WholeFetch]]) -> T:
        """What `attempt(fresh=…)` brings, twice at most. It answers with the fetch where the bytes were wrong."""
        first = await attempt(fresh=False)
        if not isinstance(first, WholeFetch):
            return first
        log.warning("%s does not match its digest; fetching it again past all caches", self._label)
        second = await attempt(fresh=True)
        if not isinstance(second, WholeFetch):
            return second
        error = self._evidence(first, second)
        log.error("%s: %s (%s)", self._label, error.what, error.where)
        raise error

    async def _fetch_or_go_on(self, grid: Grid, *, must_keep: bool, fresh: bool) -> StoredLayer | ChunkIndex | WholeFetch:
        """A fetch of all bytes if it is to be `fresh`, or if what an earlier one had left is wrong."""
        tried = await self._try(grid, must_keep=must_keep, anew=fresh, fresh=fresh)
        if isinstance(tried, WholeFetch) and tried.inherited_bytes:
            log.info("%s does not match its digest with what an earlier fetch had left of it: fetching all of it", self._label)
            tried = await self._try(grid, must_keep=must_keep, anew=True, fresh=False)
        return tried

    async def _try(self, grid: Grid, *, must_keep: bool, anew: bool, fresh: bool) -> StoredLayer | ChunkIndex | WholeFetch:
        """One fetch; the fetch itself, as evidence, when its bytes were wrong. `anew`: of all bytes; `fresh`: past all caches."""
        engine = self._engine
        staging = await self._stage(grid, must_keep=must_keep, anew=anew)
        fetch = WholeFetch(
            engine=engine,
            reader=self._means.reader,
            blob=self._blob,
            grid=grid,
            staging=staging,
            tar=self._means.tar,
            fresh=fresh,
            urgency=self._urgency,
        )
        broke_off = True
        try:
            with self._narrated(fetch, staging):
                index = await fetch.run()
                stored = await self._publish(staging, fetch, index, must_keep=must_keep)
            broke_off = False
        except Mismatch:
            broke_off = False
            engine.tally.wrong_layers += 1
            return fetch
        except (BadArchive, CacheUnusable):
            broke_off = False
            raise
        finally:
            if staging is not None:
                with trio.CancelScope(shield=True):
                    await engine.on_disk(staging.leave if broke_off and fetch.unstaged is None else staging.discard)
        if stored is not None:
            return stored
        await engine.on_disk(engine.cache.keep_index, index)
        return index

    async def _inflate(self, expected_bytes: int, *, fresh: bool) -> StoredLayer | WholeFetch:
        """One fetch of a compressed layer; the fetch itself, as evidence, when its bytes were wrong."""
        from mkfs.content.inflating import InflatingFetch  # brings libzstd along, which few mounts need

        fetch = InflatingFetch(
            engine=self._engine,
            reader=self._means.reader,
            blob=self._blob,
            compression=self._means.compression,
            tar=self._means.tar,
            fresh=fresh,
            urgency=self._urgency,
            size_bytes=self._content_bytes,
            expected_bytes=expected_bytes,
        )
        try:
            with self._narrated(fetch.whole, None):
                return await fetch.run()
        except Mismatch:
            self._engine.tally.wrong_layers += 1
            return fetch.whole

    @contextmanager
    def _narrated(self, fetch: WholeFetch, staging: Staging | None) -> Iterator[None]:
        """For the length of the block `fetch` is the one under way, and the log tells of it."""
        self._fetch, self._staging, self.fetches = fetch, staging, self.fetches + 1
        started, narration = trio.current_time(), trio.CancelScope()
        self._engine.nursery.start_soon(self._narrate, narration, fetch, started)
        try:
            yield
        finally:
            narration.cancel()
            self._fetch = self._staging = None
        took = format_duration(trio.current_time() - started)
        inherited = f", {format_size(fetch.inherited_bytes)} of it received earlier" if fetch.inherited_bytes else ""
        log.info("proved %s: %s in %s%s", self._label, format_size(self._blob.size_bytes), took, inherited)

    async def _stage(self, grid: Grid, *, must_keep: bool, anew: bool) -> Staging | None:
        cache, on_disk = self._engine.cache, self._engine.on_disk
        try:
            goes_on = (
                not anew and await on_disk(cache.has_leftover, self._blob.digest) and await self._means.access.allows(self._blob)
            )
            return await on_disk(cache.stage, self._blob, grid, anew=not goes_on)
        except CacheUnusable as error:
            if must_keep:
                raise
            self._means.shortage.note(error)
            return None

    async def _publish(
        self, staging: Staging | None, fetch: WholeFetch, index: ChunkIndex, *, must_keep: bool
    ) -> StoredLayer | None:
        if staging is None:
            return None
        try:
            if fetch.unstaged is not None:
                raise fetch.unstaged
            return await self._engine.on_disk(staging.publish, index)
        except CacheUnusable as error:
            if must_keep:
                raise
            self._means.shortage.note(error)
            return None

    def _evidence(self, first: WholeFetch, second: WholeFetch) -> Mismatch:
        if second.misfit is not None:
            what = f"layer {self._blob.digest} has not the size that its manifest says: {second.misfit.what}"
            return Mismatch(what, f"{self._label}, from {second.misfit.where}", _DAMAGED_HINT)
        hosts = ", ".join(sorted(first.hosts | second.hosts)) or "the registry"
        differ = first.proof.differing(second.proof)
        ranges = f"two fetches differ within bytes {differ}" if differ else "two fetches brought the same wrong bytes"
        return Mismatch(
            f"layer {self._blob.digest} does not match its digest: {ranges}",
            f"{self._label}, from {hosts}",
            _DAMAGED_HINT,
        )

    async def _narrate(self, narration: trio.CancelScope, fetch: WholeFetch, started: float) -> None:
        with narration:
            while True:
                await trio.sleep(NARRATION_SECONDS)
                log.info(
                    "%d reads wait for %s: %s of %s fetched, %s/s",
                    self._waiting(),
                    self._label,
                    format_size(fetch.received_bytes),
                    format_size(self._blob.size_bytes),
                    format_size(int(fetch.received_bytes / (trio.current_time() - started))),
                )
