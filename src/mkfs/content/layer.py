"""One layer of an artifact: every read of it is answered from proven bytes.

Theory. A layer is *published*: all of its bytes are in the cache, each chunk checked against the chunk index before it is handed
out. Or it is read *by chunks*: a chunk index is trusted, our own from an earlier proof or one that came with the artifact, so only
the chunks that are wanted are fetched; they stay in the cache, or in bounded memory where the cache has no room
(`content.chunks`). Or *nothing* is known: all readers wait for one flight that proves the layer whole (`content.proof_flights`).
With room in the cache that ends published, else by chunks: a layer larger than the cache is read in two passes. Damage on our own
disk turns published into by chunks, as does finding at `open` that the bytes were evicted.

A mismatch is a verdict on a fetch, never on the layer: the layer (or the chunk) is fetched once more past all caches; if that is
wrong too, reads fail at once until the verdict's time is over, and then the registry gets another chance. Bytes that did not come
are judged the same way, for a moment (`content.patience`).

A *compressed* layer is either published, as what it decompresses to, or streamed whole, as no request brings a chunk of it
(`content.inflating`). A chunk index says only what is in it: then the first read streams it, else whoever wants the names.
Everything here counts the bytes of its content, but for `blob`.

A chunk index from elsewhere says what the chunks are; that these are the layer is known when all of it passed by once and had its
digest: then the index is as good as our own (`verify`). One that contradicts our own is refused for good: whoever made it is
trusted, and wrong.

Atomic between checkpoints: the standing changes whole (`content.standing`).
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import final

from msgspec import structs

from mkfs.archive.entry import Table
from mkfs.cache.stored import Damaged
from mkfs.content.access import LayerAccess
from mkfs.content.admission import Urgency
from mkfs.content.chunks import ChunkStatistics
from mkfs.content.deferred import DeferredReads
from mkfs.content.engine import Engine
from mkfs.content.means import LayerMeans
from mkfs.content.prefetch import Prefetch
from mkfs.content.proof_flights import ProofFlights
from mkfs.content.reach import Reach, ReachStatistics
from mkfs.content.readahead import Readahead
from mkfs.content.reads import Buffer, Cause, Obstacle, RangeFacts
from mkfs.content.receive import RangesIgnored
from mkfs.content.settling import rehash, settle
from mkfs.content.shortage import Shortage
from mkfs.content.standing import Standing
from mkfs.content.tables import fetch_table
from mkfs.content.taking import Taker, named
from mkfs.content.traffic import Traffic, TrafficStatistics
from mkfs.errors import BadArchive, IntegrityError, Mismatch, MkfsError
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.policy import LayerTrust, Trust
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """A moment's counts of one layer, for `inspect`, `status` and tests."""

    trust: Trust  # what a read of it rests on
    published: bool
    provisional: bool  # its table came from headers that nothing proves yet
    received_bytes: int  # of the whole fetch under way
    waiting: int  # tasks that wait for it, or for chunks
    fetches: int  # whole fetches begun by this process
    refetched_chunks: int  # local damage found
    refusals: int  # how often the cache had no room for it, or failed
    chunks: ChunkStatistics | None  # of a layer that is read by chunks
    reach: ReachStatistics
    traffic: TrafficStatistics


@final
class Layer:
    """Proven reads of one layer, `content.reads.LayerReads`."""

    def __init__(
        self,
        *,
        engine: Engine,
        reader: RangeReader,
        access: LayerAccess,
        blob: Descriptor,
        label: str,
        tar: bool,
        compression: Compression = "",
        content_bytes: int | None = None,
        trusted: LayerTrust | None = None,
        deferred: bool = False,
        prefetch: Prefetch = Prefetch.SEQUENTIAL,
    ) -> None:
        """`content_bytes`: what the artifact says of the content of a compressed layer. `trusted`: a chunk index of `blob` that
        came with the artifact and that the user's policy accepts. `deferred`: reads do not wait for a proof (`content.deferred`),
        if the layer is not compressed.
        """
        self.blob, self.label, self._tar, self._compression = blob, label, tar, compression
        self._engine, self._traffic = engine, Traffic(reader, label, engine.errors)
        self.readahead = Readahead(prefetch, engine.budget)
        self._reach, self._shortage = Reach(), Shortage(label)
        means = LayerMeans(
            engine=engine,
            reader=self._traffic,
            access=access,
            blob=blob,
            label=label,
            tar=tar,
            compression=compression,
            readahead=self.readahead,
            shortage=self._shortage,
            reach=self._reach,
        )
        self._diff_id: Digest | None = None
        self._standing = Standing(means, trusted)
        self._taker = Taker(means, self._standing)
        self._proofs = ProofFlights(means, self._standing, self._taker, content_bytes)
        self._deferred = DeferredReads(means, self._standing, self._proofs) if deferred and not compression else None

    # --- mount time

    async def open(self) -> None:
        """Takes what the cache has and may serve to this mount. Call once, before anything else.

        Raises `IntegrityError` where our own chunk index contradicts the one that came with the artifact.
        """
        try:
            await self._taker.take_cached()
        except BadArchive as error:
            raise named(error, self.label) from error
        self._standing.refuse_if_contradicted()

    async def table(self) -> Table | None:
        """The layer's entries: certain if its chunk index is trusted, else as its headers say; None for a raw layer.

        Fetches headers where there is no index, or the whole layer from a server that ignores ranges. A compressed layer is fetched
        whole where nothing says what is in it.
        """
        await self._taker.take_trusted()
        self._standing.refuse_if_contradicted()
        if self._compression:
            if self.opaque:
                await self.prove()
        elif self._tar and self._standing.table is None:
            try:
                self._standing.table = await fetch_table(self._traffic, self.blob)
            except RangesIgnored:  # every header read would bring the whole layer: then bring it once, proven
                await self.prove()
            except BadArchive as error:
                raise named(error, self.label) from error
        return self._standing.table if self._tar else None

    @property
    def content_bytes(self) -> int | None:
        """The size of its content; None where it is compressed and nothing says how large it is."""
        return self._standing.content_bytes

    @property
    def opaque(self) -> bool:
        """Whether all of it must be streamed before anybody knows what is in it."""
        return bool(self._compression) and (self.content_bytes is None or (self._tar and self._standing.table is None))

    @property
    def diff_id(self) -> Digest | None:
        """The digest of its content, if somebody has taken it: of a compressed layer whoever streamed it, or `verify`."""
        index = self._standing.index
        return self._diff_id or (None if index is None else index.diff_id) if self._compression else self.blob.digest

    @property
    def published(self) -> bool:
        """Whether all of it is in the cache, so that reads need no registry."""
        return self._standing.stored is not None

    @property
    def proven(self) -> bool:
        """Whether a chunk index of it is trusted, so that no read waits for a proof of the whole."""
        return self._standing.proven

    @property
    def trust(self) -> Trust:
        """What a read of it rests on."""
        trust = self._standing.trust
        return Trust.DEFERRED if trust is Trust.LAYER and self._deferred is not None else trust

    @property
    def index(self) -> ChunkIndex | None:
        """The chunk index that reads are checked against; None while nothing is known."""
        return self._standing.index

    @property
    def fetched_bytes(self) -> int:
        """What came of it from a registry so far."""
        return self._traffic.fetched_bytes

    def watch(self, on_distrust: Callable[[], Awaitable[None]]) -> None:
        """Has `on_distrust` called whenever bytes that were read before they were proven turn out wrong."""
        if self._deferred is not None:
            self._deferred.on_distrust = on_distrust

    @property
    def named(self) -> bool:
        """Whether its names and sizes can be told without a byte of it: a raw layer's are in the manifest and the documents, but
        not how large a compressed one becomes.
        """
        return self.proven or not (self.opaque if self._compression else self._tar)

    @property
    def provisional(self) -> bool:
        """Whether names, modes and sizes rest on headers that nothing proves yet."""
        return self._tar and not self.proven and not self._compression

    async def prove(self, *, whole: bool = False, urgency: Urgency = Urgency.DEMAND, must_keep: bool = False) -> None:
        """See `ProofFlights.prove`."""
        await self._proofs.prove(whole=whole, urgency=urgency, must_keep=must_keep)

    async def expect(self, begin: int) -> None:
        """Fetches what somebody will want who is about to read from byte `begin` on, and keeps it. Raises nothing."""
        try:
            await self.prove(urgency=Urgency.READAHEAD)
        except MkfsError as error:
            log.debug("%s was not fetched ahead: %s", self.label, error)
        if self._standing.chunks is not None:
            await self._standing.chunks.expect(begin)

    async def is_complete(self) -> bool:
        """Whether every byte of it is in the cache now, as far as is known without reading them."""
        chunks = self._standing.chunks
        return self.published or (chunks is not None and await chunks.is_complete())

    async def fill(self, urgency: Urgency = Urgency.DEMAND) -> None:
        """Returns when every byte of it is in the cache, proven by its own digest.

        Raises what a read would raise, and `CacheUnusable` where there is no room, before the first byte if that can be known.
        """
        while not await self.is_complete():
            await self.prove(urgency=urgency, must_keep=True)
            chunks = self._standing.chunks
            if chunks is not None:
                try:
                    await chunks.fill(urgency)
                except RangesIgnored:
                    self._taker.ranges_ignored(chunks)
                else:
                    break
        if self.trust is not Trust.OWN:
            await self.verify()

    async def verify(self, progress: Callable[[int], None] = lambda _count: None) -> None:
        """Returns when every byte was hashed and the whole has the layer's digest: it is proven then, whatever it was before.

        `progress` is told how many bytes each step hashed. Raises what a read would raise; `IntegrityError` where the bytes
        contradict the chunk index they were read under.
        """
        if not self.proven:
            await self.prove(whole=True)
            progress(self.blob.size_bytes)
            self._standing.refuse_if_contradicted()
            return
        index = self._standing.index
        if index is None:
            return
        try:
            if self._compression:  # its index was made when its bytes were proven
                self._diff_id = await rehash(engine=self._engine, index=index, read=self._answer, progress=progress)
                return
            await settle(engine=self._engine, blob=self.blob, index=index, read=self._answer, progress=progress)
        except IntegrityError as error:
            if not isinstance(error, Mismatch):
                self._standing.contradict(error)
            raise
        if self.trust is not Trust.OWN:
            await self._engine.on_disk(self._engine.cache.keep_index, index)
            self._standing.trust = Trust.OWN

    # --- reads

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """See `LayerReads`."""
        standing = self._standing
        if standing.contradiction is not None:
            return None
        source = standing.stored or standing.chunks
        if source is None:
            return None
        self._reach.read(source.index.grid, wanted)
        if source is standing.stored:
            self.readahead.begun(wanted)
        return source.read_now(wanted)

    async def read(self, wanted: ByteRange) -> Buffer:
        """See `LayerReads`."""
        if not self.proven:
            self._engine.tally.misses += 1
        try:
            answer = await self._answer(wanted)
        except MkfsError as error:
            self._engine.errors.read_failed(error, self.label, ", ".join(self._traffic.hosts))
            raise
        self._reach.read(self._standing.grid, wanted)
        return answer

    async def _answer(self, wanted: ByteRange) -> Buffer:
        """The bytes of `wanted`, for a reader or for ourselves."""
        while True:
            if self._deferred is not None and not self.proven:
                self._proofs.refuse_if_judged()
                with suppress(RangesIgnored):
                    return await self._deferred.read(wanted)
            await self.prove()
            self._proofs.refuse_if_judged()
            stored, chunks = self._standing.stored, self._standing.chunks  # both None: found damaged between two checkpoints
            if stored is not None:
                self.readahead.begun(wanted)
                try:
                    return await self._engine.on_disk(stored.read, wanted)
                except Damaged as error:
                    await self._taker.damaged(stored, error)
            elif chunks is not None:
                try:
                    return await chunks.read(wanted)
                except RangesIgnored:
                    self._taker.ranges_ignored(chunks)

    def obstacle(self, wanted: ByteRange) -> Obstacle:
        """See `LayerReads`."""
        if self.published:
            return Obstacle(Cause.DISK)
        chunks = self._standing.chunks
        found = self._proofs.obstacle() if chunks is None else chunks.obstacle(wanted)
        return structs.replace(found, hosts=self._traffic.hosts) if found.size_bytes else found

    async def facts(self, wanted: ByteRange) -> RangeFacts:
        """See `LayerReads`."""
        chunks = self._standing.chunks
        if chunks is not None:
            proven_bytes = await chunks.stored_bytes(wanted)
        else:
            proven_bytes = wanted.length if self.published else 0
        return RangeFacts(self.blob.digest, self.trust, proven_bytes)

    def statistics(self) -> LayerStatistics:
        """A snapshot; cheap enough for every poll."""
        chunks = None if self._standing.chunks is None else self._standing.chunks.statistics()
        return LayerStatistics(
            trust=self.trust,
            published=self.published,
            provisional=self.provisional,
            received_bytes=self._proofs.received_bytes,
            waiting=self._proofs.waiting + (chunks.waiting if chunks else 0),
            fetches=self._proofs.fetches,
            refetched_chunks=self._taker.damages + (chunks.damages if chunks else 0),
            refusals=self._shortage.count,
            chunks=chunks,
            reach=self._reach.statistics(),
            traffic=self._traffic.statistics(),
        )

    def close(self) -> None:
        """Lets go of the cache's files. Reads afterwards start anew."""
        self._standing.close()
