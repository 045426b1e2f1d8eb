"""Reads of a layer under a chunk index that is trusted: only the chunks that are wanted are fetched, each by one flight.

Theory. A chunk that is not here is a flight of its own (`content.flights`), and flights that start at one moment are seen to
together (`content.gathering`). So a reader of many chunks costs few requests, a reader at random one chunk, and nobody waits for
chunks that are not his. A read is answered from the very memory that was checked, whether the cache could keep it or not.

What is likely to be read next (`content.readahead`) is fetched as well, when nobody waits for anything else. A chunk that was wrong
twice is refused for a while, by itself: its neighbours are served.

Atomic between checkpoints: `_waiters` knows a chunk exactly while somebody waits for its flight.
"""

import copy
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final, Self, final

import trio

from mkfs.cache.locks import LayerLock
from mkfs.content.admission import Urgency, Waiters
from mkfs.content.chunk_run import Want
from mkfs.content.chunk_store import ChunkStore
from mkfs.content.flights import Flights
from mkfs.content.gathering import Gathering
from mkfs.content.means import LayerMeans
from mkfs.content.patience import Verdict
from mkfs.content.readahead import ModelFile
from mkfs.content.reads import Buffer, Cause, Obstacle
from mkfs.content.streams import WIDEST_WINDOW_BYTES
from mkfs.content.together import all_done
from mkfs.errors import Mismatch, Unreachable
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange
from mkfs.units import MIB

log = logging.getLogger(__name__)

# Ahead of a stream while only memory keeps chunks: what 16 streams may have there at once.
SCARCE_AHEAD_BYTES: Final = 2 * MIB
# How many chunks a filling reader asks for at once: enough for four requests.
_FILL_CHUNKS: Final = 32


@final
@dataclass(frozen=True, slots=True)
class ChunkStatistics:
    """A moment's counts of one layer that is read chunk by chunk."""

    waiting: int  # tasks that wait for chunks, readers and what runs ahead of them
    fetched: int  # chunks asked from the registry
    requests: int  # runs begun
    damages: int  # local damage found


@final
class ChunkFetch:
    """Proven reads of one layer, chunk by chunk. `index` must be one that is trusted."""

    def __init__(self, means: LayerMeans, store: ChunkStore, lock: LayerLock) -> None:
        self._means, self._store = means, store
        self._engine, self._grid = means.engine, store.index.grid
        self._flights: Flights[int, Buffer | None] = Flights(means.engine.nursery)
        self._gathering = Gathering(means, store, lock)
        self._waiters: dict[int, Waiters] = {}  # of the flights
        self._verdicts: dict[int, Verdict] = {}

    @classmethod
    async def open(cls, means: LayerMeans, index: ChunkIndex) -> Self:
        """Reads of a layer whose index is `index`, over what the cache has of it. Raises nothing of its own."""
        engine = means.engine
        store = ChunkStore(engine.cache, engine.memory, index, means.shortage, means.label)
        await engine.on_disk(store.open, trio.current_time())
        lock = await engine.on_disk(engine.cache.lock, means.blob.digest)
        return cls(means, store, lock)

    @property
    def index(self) -> ChunkIndex:
        """What the chunks are checked against."""
        return self._store.index

    # --- reads

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """See `LayerReads`."""
        answer = self._store.read_now(wanted)
        if answer is not None:
            self._look_ahead(wanted)
        return answer

    async def read(self, wanted: ByteRange) -> Buffer:
        """See `LayerReads`. Raises `RangesIgnored`, too: then the layer has to be fetched whole."""
        self._look_ahead(wanted)
        chunks = self._grid.chunks(wanted)
        answer, missing = await self._engine.on_disk(self._look_up, wanted, chunks)
        if answer is not None:
            return answer
        self._engine.tally.misses += 1
        assembled = bytearray(wanted.length)

        async def fill(number: int) -> None:
            chunk = self._grid.chunk_range(number)
            part = chunk.overlap(wanted)
            piece = None if number in missing else await self._engine.on_disk(self._store.read, part)
            while piece is None:
                whole = await self._chunk(number, Urgency.DEMAND)
                if whole is None:  # it came as nobody waited for it yet
                    piece = await self._engine.on_disk(self._store.read, part)
                else:
                    piece = memoryview(whole)[part.slice_from(chunk.start)]
            assembled[part.slice_from(wanted.start)] = piece

        await all_done(partial(fill, number) for number in chunks)
        return assembled

    def _look_up(self, wanted: ByteRange, chunks: range) -> tuple[Buffer | None, list[int]]:
        """The bytes if they are here; else which of `chunks` are not. Blocks."""
        answer = self._store.read(wanted)
        return answer, [] if answer is not None else self._store.missing(chunks)

    async def is_complete(self) -> bool:
        """Whether every chunk is here, as far as is known without reading them."""
        return not await self._engine.on_disk(self._store.missing, range(self._grid.count))

    async def stored_bytes(self, wanted: ByteRange) -> int:
        """How many bytes of `wanted` are in chunks that are here, as far as is known without reading them."""
        chunks = self._grid.chunks(wanted)
        missing = await self._engine.on_disk(self._store.missing, chunks)
        return wanted.length - sum(self._grid.chunk_range(number).overlap(wanted).length for number in missing)

    async def fill(self, urgency: Urgency) -> None:
        """Fetches every chunk that is missing, in order, into the cache.

        Raises what `read` raises, and `CacheUnusable` as soon as the cache does not keep what it is given.
        """
        for number in range(0, self._grid.count, _FILL_CHUNKS):
            chunks = range(number, min(number + _FILL_CHUNKS, self._grid.count))
            missing = await self._engine.on_disk(self._store.missing, chunks)
            if missing and self._store.refusal is None:
                await all_done(partial(self._chunk, each, urgency) for each in missing)
            if missing and self._store.refusal is not None:
                raise copy.copy(self._store.refusal)

    def _look_ahead(self, wanted: ByteRange) -> None:
        if not wanted.length:
            return
        now = trio.current_time()
        widest_bytes = WIDEST_WINDOW_BYTES if self._store.is_shared(now) else SCARCE_AHEAD_BYTES
        told = self._means.readahead.ahead(wanted, now, widest_bytes=widest_bytes, stop=self._file_stop(wanted.stop - 1))
        if told is not None:
            self._engine.nursery.start_soon(self._fetch_ahead, told)
        file = self._means.readahead.unknown(wanted)
        if file is not None:
            self._engine.nursery.start_soon(self._learn, file)

    async def expect(self, begin: int) -> None:
        """Fetches what is read first by who begins at `begin`, if it can be kept. Raises nothing."""
        now = trio.current_time()
        if not self._store.is_shared(now):  # nor is it told: a reader would take it for fetched
            return
        told = self._means.readahead.expect(begin, now, widest_bytes=WIDEST_WINDOW_BYTES, stop=self._file_stop(begin))
        if told is not None:
            await self._fetch_ahead(told)

    def _file_stop(self, offset: int) -> int:
        """Where the stored file's run ends that holds byte `offset`: nothing says that what follows is read as well."""
        return next(self._grid.spans(ByteRange(offset, self._grid.size_bytes))).range.stop

    async def _fetch_ahead(self, told: ByteRange) -> None:
        missing = await self._engine.on_disk(self._store.missing, self._grid.chunks(told))
        try:
            await all_done(partial(self._chunk, number, Urgency.READAHEAD) for number in missing)
        except Exception as error:  # noqa: BLE001 - a guess that failed: whoever really wants the bytes will hear of it
            log.debug("nothing fetched ahead of a reader of %s: %s", self._means.label, error)

    async def _learn(self, file: ModelFile) -> None:
        """Reads the header of a model file, which somebody reads anyway."""
        try:
            await file.learn(self.read, self._engine.hashing)
        except Exception as error:  # noqa: BLE001 - as above
            log.debug("the header of a file of %s was not read: %s", self._means.label, error)

    # --- one chunk

    async def _chunk(self, number: int, urgency: Urgency) -> Buffer | None:
        """All of chunk `number`, fetched by somebody; None where it is in the store now. Raises what `read` raises."""
        verdict = self._verdicts.get(number)
        if verdict is not None and trio.current_time() < verdict.until:
            raise copy.copy(verdict.error) from verdict.error
        waiters = self._waiters.setdefault(number, Waiters(self._engine.admission))
        try:
            with waiters.counted(urgency):
                return await self._flights.join(number, partial(self._bring, number, waiters))
        finally:
            if not waiters:
                self._waiters.pop(number, None)

    async def _bring(self, number: int, waiters: Waiters) -> Buffer | None:
        """The flight of chunk `number`."""
        want = Want(number, waiters)
        self._gathering.add(want)
        try:
            await want.settled.wait()
        finally:
            if not want.settled.is_set():
                want.leave()
        if isinstance(want.error, Mismatch | Unreachable):
            self._verdicts[number] = Verdict.after(self._verdicts.get(number), want.error, trio.current_time())
        if want.error is not None:
            raise want.error
        self._verdicts.pop(number, None)
        return want.chunk

    def obstacle(self, wanted: ByteRange) -> Obstacle:
        """See `LayerReads`; without hosts."""
        chunks = self._grid.chunks(wanted)
        awaited = any(number in self._waiters for number in chunks)
        return self._gathering.obstacle(chunks) or Obstacle(Cause.CHUNKS if awaited else Cause.DISK)

    def statistics(self) -> ChunkStatistics:
        """A snapshot; cheap enough for every poll."""
        gathered = self._gathering
        return ChunkStatistics(self._flights.statistics().waiting, gathered.fetched, gathered.requests, self._store.damages)

    def close(self) -> None:
        """Lets go of the cache's files. Reads under way end well."""
        self._store.close()
