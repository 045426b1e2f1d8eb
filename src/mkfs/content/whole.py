"""Fetching a layer whole: parallel ranges into private memory, hashed behind the frontier, staged, and proven by its digest.

Theory. The layer is cut into *runs*: whole chunks of its grid, up to `RANGE_BYTES` together; consecutive runs make a *lap*, which
one request brings. A few streams take the laps in order, as many as the link rewards (`content.pace`). Each run is received into a
borrowed buffer; chunk by chunk its digests are taken and its bytes written to staging, both from that buffer, in the very thread
that received the chunk, while the core's own cache has it. The *frontier* is the first run not yet hashed for the whole-blob
digest; that hash must go in order, so a run that arrived early waits in its buffer. The run at the frontier is *hot*: its chunks
pass the frontier where they are received, too. Only when every byte passed the frontier and the digest matched is there a chunk
index, and only with it can anything be published. Nothing that was fetched is readable before.

What an earlier owner of the staging had received is read back from there, run by run, and goes the same way: it is as unproven as
what comes from the registry.

Without a staging the bytes are hashed and forgotten: what remains is the chunk index, under which the layer can then be read chunk
by chunk. A staging that fails on the way makes no difference: the fetch goes on without it.

Atomic between checkpoints: a run is in exactly one place: not begun, with a stream, in `_arrived`, or behind the frontier; its
buffer is borrowed exactly while it is in the middle two. One drain runs at a time (`_draining`).

A server that ignores ranges (200 with the whole body) turns the fetch into one lap: each body is taken from the first byte that is
still missing.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from mmap import mmap
from typing import Final, Protocol, cast, final

import trio

from mkfs.archive.tar import TarScanner
from mkfs.cache.staging import Staging
from mkfs.content.admission import Urgency
from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.engine import Engine
from mkfs.content.patience import Patience
from mkfs.content.receive import RangesIgnored, pause
from mkfs.errors import BadArchive, CacheUnusable, Mismatch, MkfsError, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Verifier
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex, digests_of
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader

# Runs that the requests of all streams bring together: each stream ahead of the frontier holds a lap of buffers. A registry costs 5
# to 13 ms per request whatever its size: distribution 2.8 took 1.4 CPU-seconds per GiB in ranges of 8 MiB, 0.8 to 0.9 in laps of
# 32, 0.5 for a puller that takes whole blobs.
_RUNS_UNDER_WAY: Final = 8


@final
@dataclass(frozen=True, slots=True)
class Run:
    """What one request brings: `bytes` of the layer, which are exactly the chunks numbered `chunks`."""

    number: int
    bytes: ByteRange
    chunks: range


def runs(grid: Grid) -> Iterator[Run]:
    """Tiles the layer with runs: whole chunks, in order, up to `RANGE_BYTES` together."""
    number = first = start = stop = 0
    for chunk in range(grid.count):
        chunk_stop = grid.chunk_range(chunk).stop
        if chunk_stop - start > RANGE_BYTES:
            yield Run(number, ByteRange(start, stop), range(first, chunk))
            number, first, start = number + 1, chunk, stop
        stop = chunk_stop
    if stop > start:
        yield Run(number, ByteRange(start, stop), range(first, grid.count))


@final
class _Lap:
    """Consecutive runs that one request brings. `done`: where in the layer the next byte belongs."""

    __slots__ = ("_at", "_runs", "buffer", "done", "hot", "stop", "unsettled")

    def __init__(self, lap: Sequence[Run]) -> None:
        self._runs, self._at = lap, 0
        self.unsettled = lap[0].chunks.start  # number of the first chunk that is not settled
        self.done, self.stop = lap[0].bytes.start, lap[-1].bytes.stop
        self.buffer: mmap | None = None  # of the run being filled
        self.hot = False  # whether that run passes the frontier as it comes

    @property
    def missing(self) -> ByteRange:
        """What has not come yet."""
        return ByteRange(self.done, self.stop)

    @property
    def run(self) -> Run:
        """The run that the next byte belongs to."""
        return self._runs[self._at]

    @property
    def target(self) -> memoryview:
        """Where the next bytes belong, up to the end of their run."""
        return self.place(ByteRange(self.done, self.run.bytes.stop))

    def place(self, wanted: ByteRange) -> memoryview:
        """Where bytes of the run belong."""
        if self.buffer is None:
            raise ValueError("a run without a buffer")
        start = self.run.bytes.start
        return memoryview(self.buffer)[wanted.start - start : wanted.stop - start]

    def next_run(self) -> None:
        """The run is full, and its buffer somebody else's."""
        self._at += 1
        self.buffer, self.hot = None, False


class InOrder(Protocol):
    """Who takes a layer's bytes in their order, whatever order they came in."""

    def restart(self) -> None:
        """The bytes come anew from the first; those before are worth nothing."""

    async def take(self, data: memoryview) -> None:
        """Takes the next bytes, and lets go of `data`. What it raises ends the fetch."""


@final
class WholeFetch:
    """One try to fetch and prove a layer. `run` once; afterwards `digests` and `hosts` tell what came, right or wrong
    (evidence), `misfit` that a host has another number of bytes, and `unstaged` why they are not in `staging`, if they are not.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        reader: RangeReader,
        blob: Descriptor,
        grid: Grid,
        staging: Staging | None,
        tar: bool,
        fresh: bool,
        urgency: Callable[[], Urgency],
        taker: InOrder | None = None,
    ) -> None:
        """`urgency` is asked before each request. `taker` gets all bytes in their order, behind the whole-blob hash: unproven, as
        the others.
        """
        self._engine, self._reader, self._blob, self._grid, self._staging = engine, reader, blob, grid, staging
        self._tar, self._fresh, self._urgency, self._taker = tar, fresh, urgency, taker
        self.unstaged: CacheUnusable | None = None
        self.misfit: Mismatch | None = None
        self.inherited_bytes = 0  # of `received_bytes`, what was read back
        self.digests = bytearray(grid.count * DIGEST_BYTES)
        self.received_bytes = 0
        self.hosts: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self._verifier = Verifier(self._blob.digest, self._blob.size_bytes)
        self._scanner = TarScanner(self._blob.size_bytes, f"layer {self._blob.digest}") if self._tar else None
        self._bad_archive: BadArchive | None = None
        self._arrived: dict[int, tuple[Run, mmap]] = {}
        self._frontier = 0  # number of the first run not yet hashed
        self._draining = False
        self._failure: Exception | None = None
        self._streams = 0
        self._whole = False  # one request brings all
        self._laps: Iterator[tuple[Run, ...]] = iter(())  # not taken yet

    async def run(self) -> ChunkIndex:
        """The layer's index, with its table, when every byte was staged (but see `unstaged`) and the digest matched.

        Raises `Mismatch` when the bytes are wrong, `BadArchive` when they are right but no tar, `Unreachable` when nothing came for
        too long, `NotFound`, `NotAuthorised`. Cancelling gives all buffers back; the staging is the caller's to discard.
        """
        try:
            await self._together(whole=False)
        except RangesIgnored:
            self._begin()
            if self._taker is not None:
                self._taker.restart()
            await self._together(whole=True)
        self._verifier.finish()
        if self._scanner is not None and self._bad_archive is None and self._scanner.wants is not None:
            self._bad_archive = BadArchive("archive ends within an entry", f"layer {self._blob.digest}")
        if self._bad_archive is not None:
            raise self._bad_archive
        return ChunkIndex(self._blob.digest, self._grid, bytes(self.digests), self._scanner.table() if self._scanner else None)

    def differing(self, other: "WholeFetch") -> ByteRange | None:
        """The smallest range of the layer, at chunk borders, outside which both fetches brought the same bytes; None if they
        agree.
        """
        each = range(0, len(self.digests), DIGEST_BYTES)
        apart = [at // DIGEST_BYTES for at in each if self.digests[at : at + DIGEST_BYTES] != other.digests[at : at + DIGEST_BYTES]]
        return ByteRange(self._grid.chunk_range(apart[0]).start, self._grid.chunk_range(apart[-1]).stop) if apart else None

    async def _together(self, *, whole: bool) -> None:
        self._streams, self._whole, self._laps = 0, whole, self._cut()
        try:
            async with trio.open_nursery() as nursery:
                self._add_streams(nursery)
        finally:
            while self._arrived:
                self._give_back(self._arrived.popitem()[1][1])
        if self._failure is not None:
            raise self._failure

    @property
    def _wanted_streams(self) -> int:
        return 1 if self._whole else self._engine.admission.pace.streams

    def _add_streams(self, nursery: trio.Nursery) -> None:
        while self._streams < self._wanted_streams:
            self._streams += 1
            nursery.start_soon(self._guarded, self._take_laps, nursery)

    async def _guarded(self, work: Callable[[trio.Nursery], Awaitable[None]], nursery: trio.Nursery) -> None:
        """The first failure ends all streams; one error leaves, not a group of them."""
        try:
            await work(nursery)
        except (MkfsError, RangesIgnored) as error:
            self._failure = self._failure or error
            nursery.cancel_scope.cancel()

    def _cut(self) -> Iterator[tuple[Run, ...]]:
        """All runs in order: those of a lap together (all in one, where one request brings all), those to be read back each by
        itself.
        """
        for here, group in groupby(runs(self._grid), lambda run: not self._whole and self._is_inherited(run)):
            while lap := tuple(islice(group, self._lap_runs(here=here))):
                yield lap

    def _lap_runs(self, *, here: bool) -> int | None:
        if here:
            return 1
        return None if self._whole else max(1, _RUNS_UNDER_WAY // self._wanted_streams)

    def _is_inherited(self, run: Run) -> bool:
        return self._staging is not None and self._staging.inherited(run.chunks)

    async def _take_laps(self, nursery: trio.Nursery) -> None:
        """One stream: lap after lap, until there are none or one stream less is wanted."""
        for lap in self._laps:
            if self._whole or not self._is_inherited(lap[0]) or not await self._read_back(lap[0], nursery):
                async with self._engine.admission.admitted(self._urgency):
                    await self._take(_Lap(lap), nursery)
            if self._streams > self._wanted_streams:
                break
        self._streams -= 1

    async def _read_back(self, run: Run, nursery: trio.Nursery) -> bool:
        """Takes a run from the staging; whether our disk still has it."""
        buffer, arrived = await self._borrow(run), False

        def settle() -> bool:
            with memoryview(buffer)[: run.bytes.length] as data:
                try:
                    cast(Staging, self._staging).read(run.bytes.start, data)
                except CacheUnusable:
                    return False
                self._take_digests(run.chunks, data)
                return True

        try:
            arrived = await self._engine.hashing(settle)
        finally:
            if not arrived:
                self._give_back(buffer)
        if arrived:
            self.received_bytes += run.bytes.length
            self.inherited_bytes += run.bytes.length
            self._arrived[run.number] = run, buffer
            nursery.start_soon(self._guarded, self._drain, nursery)
        return arrived

    async def _take(self, lap: _Lap, nursery: trio.Nursery) -> None:
        """Receives the runs of a lap with one request, or as many as it takes; each goes on from the last good byte.

        Where the server sends the whole blob whatever is asked, what an earlier body brought already is skipped.
        """
        patience = Patience(trio.current_time())
        try:
            await self._begin_run(lap)
            while lap.missing.length:
                try:
                    async with self._reader.open_range(self._blob, lap.missing, fresh=self._fresh) as stream:
                        if stream.range != lap.missing and not self._whole:
                            raise RangesIgnored
                        self.hosts.add(stream.host)
                        skip = lap.missing.start - stream.range.start
                        while lap.missing.length:
                            if skip:
                                count = await stream.receive_into(lap.target[:skip])
                            else:
                                count = await stream.receive_into(lap.target, partial(self._settle, lap))
                            self.received_bytes += count
                            self._engine.admission.received(count)
                            if skip:
                                skip -= count
                            else:
                                await self._received(lap, count, nursery)
                            patience.progressed(count, trio.current_time())  # after: a wait for our own disk is not the network's
                except Unreachable as error:
                    await pause(patience, error)
        except Mismatch as error:
            self.misfit = error
            raise
        finally:
            if lap.buffer is not None:
                self._give_back(lap.buffer)

    async def _begin_run(self, lap: _Lap) -> None:
        """Makes ready for the next run of a lap, which is hot if it is the frontier: no drain can be at work then. What somebody
        takes behind the frontier goes through the drain.
        """
        lap.buffer = await self._borrow(lap.run)
        lap.hot = lap.run.number == self._frontier and self._taker is None

    async def _received(self, lap: _Lap, count: int, nursery: trio.Nursery) -> None:
        """Counts bytes that are where they belong. A run that is full has landed."""
        lap.done += count
        run, buffer = lap.run, lap.buffer
        if self._settles(lap, lap.done):  # not received by a thread that did it
            await self._engine.hashing(self._settle, lap, 0)
        if buffer is None or lap.done < run.bytes.stop:
            return
        if lap.hot:
            self._frontier += 1
            self._give_back(buffer)
        else:
            self._arrived[run.number] = run, buffer
        lap.next_run()
        self._add_streams(nursery)
        if lap.missing.length and self._frontier == run.number:
            await self._drain(nursery)  # by ourselves: after that the next run is hot
        else:
            nursery.start_soon(self._guarded, self._drain, nursery)
        if lap.missing.length:
            await self._begin_run(lap)

    def _settles(self, lap: _Lap, done: int) -> bool:
        """Whether the first unsettled chunk of the run ends before byte `done` of the layer."""
        return lap.unsettled < lap.run.chunks.stop and self._grid.chunk_range(lap.unsettled).stop <= done

    def _settle(self, lap: _Lap, count: int) -> None:
        """Hashes and stages the chunks of a run that are complete when `count` more bytes have come, in a thread.

        Chunk by chunk, because staging and, where the run is hot, the second hash find the bytes in the core's own cache: up to 0.3
        CPU-seconds per GiB less for each. And the page cache takes a MiB of neighbouring memory at once, not eight: 0.5 to 1
        CPU-second per GiB less where a host has to give it first.
        """
        while self._settles(lap, lap.done + count):
            number = lap.unsettled
            chunk = self._grid.chunk_range(number)
            with lap.place(chunk) as data:
                self._take_digests(range(number, number + 1), data)
                if lap.hot:
                    self._pass(chunk.start, data)
                if self._staging is not None and self.unstaged is None:
                    try:
                        self._staging.write(chunk.start, data)
                    except CacheUnusable as error:
                        self.unstaged = error
            lap.unsettled += 1

    def _take_digests(self, chunks: range, data: memoryview) -> None:
        start = chunks.start * DIGEST_BYTES
        self.digests[start : start + len(chunks) * DIGEST_BYTES] = digests_of(self._grid, chunks, data)

    async def _drain(self, _nursery: trio.Nursery) -> None:
        """Hashes, in order, every run that the frontier has reached."""
        if self._draining:
            return
        self._draining = True
        while (arrived := self._arrived.pop(self._frontier, None)) is not None:
            run, buffer = arrived
            try:
                data = memoryview(buffer)[: run.bytes.length]
                await self._engine.hashing(self._pass, run.bytes.start, data)
                if self._taker is not None:
                    await self._taker.take(data)
            finally:
                self._give_back(buffer)
            self._frontier += 1
        self._draining = False

    def _pass(self, start: int, data: memoryview) -> None:
        self._verifier.feed(data)
        if self._scanner is not None and self._bad_archive is None:
            try:
                self._scanner.feed(start, data)
            except BadArchive as error:  # a verdict on the archive only if the digest matches in the end; on the fetch otherwise
                self._bad_archive = error

    async def _borrow(self, run: Run) -> mmap:
        return await self._engine.buffers.borrow(lambda: run.number == self._frontier)

    def _give_back(self, buffer: mmap) -> None:
        self._engine.buffers.give_back(buffer)
