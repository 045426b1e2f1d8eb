"""Fetching a layer whole: parallel ranges into private memory, hashed behind the frontier, staged, and proven by its digest.

Theory. The layer is cut into *runs*: whole chunks of its grid, up to `RANGE_BYTES` together. A few streams take the runs in order;
each receives one run into a borrowed buffer, then its chunk digests are taken and its bytes written to staging, both from that
buffer. The *frontier* is the first run not yet hashed for the whole-blob digest; that hash must go in order, so a run that arrived
early waits in its buffer. Only when every byte passed the frontier and the digest matched is there a chunk index, and only with it
can anything be published. Nothing that was fetched is readable before.

Atomic between checkpoints: a run is in exactly one place: not begun, with a stream, in `_arrived`, or behind the frontier;
its buffer is borrowed exactly while it is in the middle two. One drain runs at a time (`_draining`).

A server that ignores ranges (200 with the whole body) turns the fetch into *stream mode*: one request, taken from the first byte
the frontier still needs.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, final

import trio

from mkfs.archive.tar import TarScanner
from mkfs.cache.staging import Staging
from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.engine import Engine
from mkfs.content.patience import Patience
from mkfs.content.receive import RangesIgnored, pause, receive
from mkfs.errors import BadArchive, MkfsError, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Verifier
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex, digests_of
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader

# Streams per layer. Measured on loopback: 1 stream 538 MB/s, 2 778, 4 1034-1070, 8 1002-1018 (facts: baselines, section 3).
STREAMS: Final = 4


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
class WholeFetch:
    """One try to fetch and prove a layer. `run` once; afterwards `digests` and `hosts` tell what came, right or wrong
    (evidence).
    """

    def __init__(
        self, *, engine: Engine, reader: RangeReader, blob: Descriptor, grid: Grid, staging: Staging, tar: bool, fresh: bool
    ) -> None:
        self._engine, self._reader, self._blob, self._grid, self._staging = engine, reader, blob, grid, staging
        self._tar, self._fresh = tar, fresh
        self.digests = bytearray(grid.count * DIGEST_BYTES)
        self.received_bytes = 0
        self.hosts: set[str] = set()
        self._holding = 0  # buffers borrowed
        self._begin()

    def _begin(self) -> None:
        self._verifier = Verifier(self._blob.digest, self._blob.size_bytes)
        self._scanner = TarScanner(self._blob.size_bytes, f"layer {self._blob.digest}") if self._tar else None
        self._waiting = runs(self._grid)
        self._bad_archive: BadArchive | None = None
        self._arrived: dict[int, tuple[Run, bytearray]] = {}
        self._frontier = 0  # number of the first run not yet hashed
        self._draining = False
        self._filling: tuple[Run, bytearray] | None = None  # stream mode: the run that bytes go into now
        self._failure: Exception | None = None

    async def run(self) -> ChunkIndex:
        """The layer's index, with its table, when every byte is staged and the digest matched.

        Raises `Mismatch` when the bytes are wrong, `BadArchive` when they are right but no tar, `Unreachable` when nothing came for
        too long, `NotFound`, `NotAuthorised`, `CacheUnusable`. Cancelling gives all buffers back; the staging is the caller's to
        discard.
        """
        try:
            streams = min(STREAMS, -(-self._blob.size_bytes // RANGE_BYTES))
            await self._together(*[self._take_runs] * streams)
        except RangesIgnored:
            self._begin()
            await self._together(self._take_stream)
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

    async def _together(self, *streams: Callable[[trio.Nursery], Awaitable[None]]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(self._guarded, stream, nursery)
        finally:
            while self._arrived:
                self._give_back(self._arrived.popitem()[1][1])
        if self._failure is not None:
            raise self._failure

    async def _guarded(self, work: Callable[[trio.Nursery], Awaitable[None]], nursery: trio.Nursery) -> None:
        """The first failure ends all streams; one error leaves, not a group of them."""
        try:
            await work(nursery)
        except (MkfsError, RangesIgnored) as error:
            self._failure = self._failure or error
            nursery.cancel_scope.cancel()

    async def _take_runs(self, nursery: trio.Nursery) -> None:
        while True:
            buffer = await self._borrow()  # before a run is taken: runs and buffers go in one order
            run = next(self._waiting, None)
            if run is None:
                self._give_back(buffer)
                return
            try:
                into = memoryview(buffer)[: run.bytes.length]
                await receive(self._reader, self._blob, run.bytes, into, fresh=self._fresh, progress=self._received)
                await self._landed(run, buffer)
            except BaseException:
                self._give_back(buffer)
                raise
            self._arrived[run.number] = run, buffer
            nursery.start_soon(self._guarded, self._drain, nursery)

    async def _take_stream(self, nursery: trio.Nursery) -> None:
        """Stream mode: one body after another, each taken from the first byte that is still missing."""
        patience = Patience(trio.current_time())
        done = 0
        try:
            while done < self._blob.size_bytes:
                try:
                    async with self._reader.open_range(
                        self._blob, ByteRange(done, self._blob.size_bytes), fresh=self._fresh
                    ) as stream:
                        skip = done - stream.range.start  # of a whole body: what an earlier one brought already
                        async for piece in stream:
                            self._received(len(piece), stream.host)
                            patience.progressed(trio.current_time())
                            missing = memoryview(piece)[skip:]
                            skip = max(0, skip - len(piece))
                            await self._append(done, missing, nursery)
                            done += len(missing)
                except Unreachable as error:
                    await pause(patience, error)
        finally:
            if self._filling is not None:
                self._give_back(self._filling[1])
                self._filling = None

    async def _append(self, offset: int, data: memoryview, nursery: trio.Nursery) -> None:
        """Takes the bytes of the layer from `offset` on into runs, and lets those land that are full."""
        while data:
            if self._filling is None:
                self._filling = await self._next_run()
            run, buffer = self._filling
            part = data[: run.bytes.stop - offset]
            buffer[offset - run.bytes.start : offset - run.bytes.start + len(part)] = part
            data, offset = data[len(part) :], offset + len(part)
            if offset == run.bytes.stop:
                await self._landed(run, buffer)
                self._filling = None
                self._arrived[run.number] = run, buffer
                nursery.start_soon(self._guarded, self._drain, nursery)

    async def _next_run(self) -> tuple[Run, bytearray]:
        buffer = await self._borrow()
        return next(self._waiting), buffer

    async def _landed(self, run: Run, buffer: bytearray) -> None:
        """Takes the chunk digests of a run and stages its bytes, both from the buffer it was received into."""

        def settle() -> None:
            with memoryview(buffer)[: run.bytes.length] as data:
                start = run.chunks.start * DIGEST_BYTES
                self.digests[start : start + len(run.chunks) * DIGEST_BYTES] = digests_of(self._grid, run.chunks, data)
                self._staging.write(run.bytes.start, data)

        await self._engine.hashing(settle)

    async def _drain(self, _nursery: trio.Nursery) -> None:
        """Hashes, in order, every run that the frontier has reached."""
        if self._draining:
            return
        self._draining = True
        while (arrived := self._arrived.pop(self._frontier, None)) is not None:
            run, buffer = arrived
            try:
                await self._engine.hashing(self._pass, run.bytes.start, memoryview(buffer)[: run.bytes.length])
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

    def _received(self, count: int, host: str) -> None:
        self.received_bytes += count
        self.hosts.add(host)

    async def _borrow(self) -> bytearray:
        buffer = await self._engine.buffers.borrow(lambda: self._holding)
        self._holding += 1
        return buffer

    def _give_back(self, buffer: bytearray) -> None:
        self._holding -= 1
        self._engine.buffers.give_back(buffer)
