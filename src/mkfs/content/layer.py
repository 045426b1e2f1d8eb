"""One layer of an artifact: every read of it is answered from proven bytes.

Theory. A layer is *published* (its bytes are in the cache, each chunk checked against its index before it is handed out) or it is
not. Published: a read comes from memory at once, or a thread reads and hashes the chunks concerned. Not published: the first read
starts one flight that fetches the whole layer, proves it and publishes it; all readers wait for that flight. A reader that leaves
does not stop it while others wait.

A mismatch is a verdict on a fetch, never on the layer: the layer is fetched once more past all caches; if that is wrong too, reads
fail at once until the verdict's time is over, and then the registry gets another chance. Bytes on our own disk that
went bad are dropped and fetched again.

Atomic between checkpoints: `_stored`, `_verdict` and `_contradiction` change whole and only in `_prove`, `_adopt` and `_damaged`.
"""

import copy
import logging
from dataclasses import dataclass
from typing import Final, final

import trio

from mkfs.archive.entry import Table
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.content.engine import Engine
from mkfs.content.flights import Flights
from mkfs.content.patience import Verdict
from mkfs.content.reads import Buffer
from mkfs.content.receive import RangesIgnored
from mkfs.content.tables import fetch_table, stored_table
from mkfs.content.whole import WholeFetch
from mkfs.errors import BadArchive, IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.grid import Grid, grid_of
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader
from mkfs.units import format_duration, format_size

log = logging.getLogger(__name__)

# How often a log line says who waits for what while a layer is being proven.
NARRATION_SECONDS: Final = 10.0


@final
@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """A moment's counts of one layer, for `inspect`, `status` and tests."""

    published: bool
    provisional: bool  # its table came from headers that nothing proves yet
    received_bytes: int  # of the fetch under way
    waiting: int  # reads that wait for that fetch
    fetches: int  # whole fetches begun by this process
    refetched_chunks: int  # local damage found


@final
class Layer:
    """Proven reads of one layer, `content.reads.LayerReads`."""

    def __init__(self, *, engine: Engine, reader: RangeReader, blob: Descriptor, label: str, tar: bool) -> None:
        self.blob, self.label = blob, label
        self._engine, self._reader, self._tar = engine, reader, tar
        self._table: Table | None = None
        self._stored: StoredLayer | None = None
        self._verdict: Verdict | None = None
        self._contradiction: IntegrityError | None = None
        self._proofs: Flights[None, None] = Flights(engine.nursery)
        self._fetch: WholeFetch | None = None
        self._fetches = self._damages = 0

    # --- mount time

    async def open(self) -> None:
        """Takes what the cache has. Call once, before anything else."""
        stored = await self._engine.on_disk(self._engine.cache.layer, self.blob.digest)
        if stored is not None:
            table = stored.index.table
            if self._tar and table is None:  # cached for an artifact that has the same bytes as a plain file
                table = await self._engine.on_disk(stored_table, stored)
            self._stored, self._table = stored, table

    async def table(self) -> Table | None:
        """The layer's entries: proven if it is published, else as its headers say; None for a raw layer.

        Fetches headers, or the whole layer from a server that ignores ranges.
        """
        if self._tar and self._table is None:
            try:
                self._table = await fetch_table(self._reader, self.blob)
            except RangesIgnored:  # every header read would bring the whole layer: then bring it once, proven
                await self.prove()
            except BadArchive as error:
                raise self._named(error) from error
        return self._table if self._tar else None

    @property
    def published(self) -> bool:
        """Whether reads come from the cache."""
        return self._stored is not None

    @property
    def provisional(self) -> bool:
        """Whether names, modes and sizes rest on headers that nothing proves yet."""
        return self._tar and self._stored is None

    async def prove(self) -> None:
        """Returns when the layer is published. Raises what a read would raise."""
        while self._stored is None:
            self._refuse_if_judged()
            await self._proofs.join(None, self._prove)

    # --- reads

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """See `LayerReads`."""
        if self._stored is None or self._contradiction is not None:
            return None
        return self._stored.read_now(wanted)

    async def read(self, wanted: ByteRange) -> Buffer:
        """See `LayerReads`."""
        while True:
            await self.prove()
            self._refuse_if_judged()
            stored = self._stored
            if stored is None:
                continue  # evicted or found damaged between two checkpoints
            try:
                return await self._engine.on_disk(stored.read, wanted)
            except Damaged as error:
                await self._damaged(stored, error)

    async def _damaged(self, stored: StoredLayer, error: Damaged) -> None:
        if self._stored is not stored:
            return  # another read found it first
        self._stored = None
        self._damages += 1
        log.warning("cached bytes of %s are damaged and will be fetched again: %s", self.label, error)
        await self._engine.on_disk(self._engine.cache.drop, self.blob.digest, stored)

    # --- proof

    def _refuse_if_judged(self) -> None:
        verdict = self._verdict
        if self._contradiction is not None:
            raise copy.copy(self._contradiction)
        if verdict is not None and trio.current_time() < verdict.until:
            raise copy.copy(verdict.error) from verdict.error

    async def _prove(self) -> None:
        """Fetches, proves and publishes: twice if need be, the second time past all caches."""
        first = await self._try(fresh=False)
        if isinstance(first, WholeFetch):
            log.warning("%s does not match its digest; fetching it again past all caches", self.label)
            second = await self._try(fresh=True)
            if isinstance(second, WholeFetch):
                error = self._evidence(first, second)
                self._verdict = Verdict.after(self._verdict, error, trio.current_time())
                log.error("%s: %s (%s)", self.label, error.what, error.where)
                raise error
        self._verdict = None

    async def _try(self, *, fresh: bool) -> WholeFetch | None:
        """One fetch. None when it is published; the fetch, as evidence, when its bytes were wrong."""
        engine = self._engine
        grid = self._grid()
        staging = await engine.on_disk(engine.cache.stage, self.blob, grid)
        fetch = WholeFetch(
            engine=engine, reader=self._reader, blob=self.blob, grid=grid, staging=staging, tar=self._tar, fresh=fresh
        )
        self._fetch, self._fetches = fetch, self._fetches + 1
        started, narration = trio.current_time(), trio.CancelScope()
        engine.nursery.start_soon(self._narrate, narration, fetch, started)
        try:
            index = await fetch.run()
            self._adopt(await engine.on_disk(staging.publish, index))
        except Mismatch:
            return fetch
        except BadArchive as error:
            named = self._named(error)
            if self._table is not None:  # its headers looked like an archive: a verdict on what was shown, and for good
                self._contradiction = IntegrityError(
                    f"what was shown at mount is not what the layer proves: {named.what}", named.where
                )
            raise named from error
        finally:
            narration.cancel()
            self._fetch = None
            with trio.CancelScope(shield=True):
                await engine.on_disk(staging.discard)
        log.info(
            "proved %s: %s in %s", self.label, format_size(self.blob.size_bytes), format_duration(trio.current_time() - started)
        )
        return None

    def _named(self, error: BadArchive) -> BadArchive:
        return BadArchive(error.what, f"{self.label}, {error.where}", error.hint)

    def _grid(self) -> Grid:
        if self._tar and self._table is None:  # only small layers are proven before their headers are read
            return grid_of((), self.blob.size_bytes)
        return grid_of(self._table if self._tar else None, self.blob.size_bytes)

    def _adopt(self, stored: StoredLayer) -> None:
        self._stored = stored
        if self._tar and self._table is None:
            self._table = stored.index.table
        elif self._tar and stored.index.table != self._table:
            self._contradiction = IntegrityError(
                "names or sizes shown at mount are not what the layer proves",
                f"{self.label}, layer {self.blob.digest}",
                "unmount and mount again: the proven names are in the cache now",
            )
            log.error("%s: %s", self.label, self._contradiction.what)

    def _evidence(self, first: WholeFetch, second: WholeFetch) -> Mismatch:
        hosts = ", ".join(sorted(first.hosts | second.hosts)) or "the registry"
        differ = first.differing(second)
        ranges = f"two fetches differ within bytes {differ}" if differ else "two fetches brought the same wrong bytes"
        return Mismatch(
            f"layer {self.blob.digest} does not match its digest: {ranges}",
            f"{self.label}, from {hosts}",
            "the registry's copy is damaged: push the artifact again; reads are tried again after a minute",
        )

    async def _narrate(self, narration: trio.CancelScope, fetch: WholeFetch, started: float) -> None:
        with narration:
            while True:
                await trio.sleep(NARRATION_SECONDS)
                log.info(
                    "%d reads wait for %s: %s of %s fetched, %s/s",
                    self._proofs.statistics().waiting,
                    self.label,
                    format_size(fetch.received_bytes),
                    format_size(self.blob.size_bytes),
                    format_size(int(fetch.received_bytes / (trio.current_time() - started))),
                )

    def statistics(self) -> LayerStatistics:
        """A snapshot; cheap enough for every poll."""
        return LayerStatistics(
            published=self._stored is not None,
            provisional=self.provisional,
            received_bytes=self._fetch.received_bytes if self._fetch else 0,
            waiting=self._proofs.statistics().waiting,
            fetches=self._fetches,
            refetched_chunks=self._damages,
        )

    def close(self) -> None:
        """Lets go of the cache's files. Reads afterwards start anew."""
        if self._stored is not None:
            self._stored.close()
            self._stored = None
