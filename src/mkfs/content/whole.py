"""Fetching a layer whole: parallel ranges into private memory, hashed behind the frontier, staged, and proven by its digest.

Theory. The layer is cut into *runs* of whole chunks and *laps* of runs, which one request brings (`content.laps`). A few streams
take the laps in order, as many as the link rewards (`content.pace`). Each run is received into a borrowed buffer; chunk by chunk
its digests are taken and its bytes written to staging, both from that buffer, in the very thread that received the chunk, while the
core's own cache has it. The whole-blob digest is taken at the frontier, in order (`content.frontier`). Only when every byte passed
the frontier and the digest matched is there a chunk index (`proof.whole`), and only with it can anything be published. Nothing that
was fetched is readable before.

What an earlier owner of the staging had received is read back from there, run by run, and goes the same way: it is as unproven as
what comes from the registry.

Without a staging the bytes are hashed and forgotten: what remains is the chunk index, under which the layer can then be read chunk
by chunk. A staging that fails on the way makes no difference: the fetch goes on without it.

Atomic between checkpoints: a run is in exactly one place: not begun, with a stream, or with the frontier; its buffer is borrowed
exactly while it is with the stream, or has not passed.

A server that ignores ranges (200 with the whole body) turns the fetch into one lap: each body is taken from the first byte that is
still missing.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, cast, final

import trio

from mkfs.cache.staging import Staging
from mkfs.content.admission import Urgency
from mkfs.content.engine import Engine
from mkfs.content.frontier import Frontier, InOrder
from mkfs.content.laps import Lap, Run, laps
from mkfs.content.patience import Patience
from mkfs.content.receive import RangesIgnored, pause
from mkfs.errors import CacheUnusable, Mismatch, MkfsError, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid
from mkfs.proof.whole import WholeProof
from mkfs.registry.ranges import RangeReader

# Runs that the requests of all streams bring together: each stream ahead of the frontier holds a lap of buffers. A registry costs 5
# to 13 ms per request whatever its size: distribution 2.8 took 1.4 CPU-seconds per GiB in ranges of 8 MiB, 0.8 to 0.9 in laps of
# 32, 0.5 for a puller that takes whole blobs.
_RUNS_UNDER_WAY: Final = 8


@final
class WholeFetch:
    """One try to fetch and prove a layer. `run` once; afterwards `proof` and `hosts` tell what came, right or wrong
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
        self.received_bytes = 0
        self.hosts: set[str] = set()
        self._begin(whole=False)

    def _begin(self, *, whole: bool) -> None:
        """Makes ready for all bytes; `whole`: one request brings them."""
        self.proof = WholeProof(self._blob, self._grid, tar=self._tar)
        self._frontier = Frontier(self._engine, self.proof, self._taker)
        self._failure: Exception | None = None
        self._streams = 0
        self._whole = whole
        self._laps = laps(self._grid, self._runs_of_a_lap, alone=self._is_here)  # those that no stream has taken

    async def run(self) -> ChunkIndex:
        """The layer's index, with its table, when every byte was staged (but see `unstaged`) and the digest matched.

        Raises `Mismatch` when the bytes are wrong, `BadArchive` when they are right but no tar, `Unreachable` when nothing came for
        too long, `NotFound`, `NotAuthorised`. Cancelling gives all buffers back; the staging is the caller's to discard.
        """
        try:
            await self._together()
        except RangesIgnored:
            self._begin(whole=True)
            if self._taker is not None:
                self._taker.restart()
            await self._together()
        return self.proof.finish()

    async def _together(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._add_streams(nursery)
        finally:
            self._frontier.close()
        if self._failure is not None:
            raise self._failure

    @property
    def _wanted_streams(self) -> int:
        return 1 if self._whole else self._engine.admission.pace.streams

    def _add_streams(self, nursery: trio.Nursery) -> None:
        while self._streams < self._wanted_streams:
            self._streams += 1
            nursery.start_soon(self._guarded, partial(self._take_laps, nursery), nursery)

    async def _guarded(self, work: Callable[[], Awaitable[None]], nursery: trio.Nursery) -> None:
        """The first failure ends all streams; one error leaves, not a group of them."""
        try:
            await work()
        except (MkfsError, RangesIgnored) as error:
            self._failure = self._failure or error
            nursery.cancel_scope.cancel()

    def _runs_of_a_lap(self) -> int | None:
        return None if self._whole else max(1, _RUNS_UNDER_WAY // self._wanted_streams)

    def _is_here(self, run: Run) -> bool:
        """Whether it is read back instead of fetched. One request that brings all brings it as well."""
        return not self._whole and self._staging is not None and self._staging.inherited(run.chunks)

    async def _take_laps(self, nursery: trio.Nursery) -> None:
        """One stream: lap after lap, until there are none or one stream less is wanted."""
        for lap in self._laps:
            if not self._is_here(lap[0]) or not await self._read_back(lap[0], nursery):
                async with self._engine.admission.admitted(self._urgency):
                    await self._take(Lap(self._grid, lap), nursery)
            if self._streams > self._wanted_streams:
                break
        self._streams -= 1

    async def _read_back(self, run: Run, nursery: trio.Nursery) -> bool:
        """Takes a run from the staging; whether our disk still has it."""
        buffer, arrived = await self._frontier.borrow(run), False

        def settle() -> bool:
            with memoryview(buffer)[: run.bytes.length] as data:
                try:
                    cast(Staging, self._staging).read(run.bytes.start, data)
                except CacheUnusable:
                    return False
                self.proof.take_chunks(run.chunks, data)
                return True

        try:
            arrived = await self._engine.hashing(settle)
        finally:
            if not arrived:
                self._frontier.give_back(buffer)
        if arrived:
            self.received_bytes += run.bytes.length
            self.inherited_bytes += run.bytes.length
            self._frontier.arrived(run, buffer)
            nursery.start_soon(self._guarded, self._frontier.drain, nursery)
        return arrived

    async def _take(self, lap: Lap, nursery: trio.Nursery) -> None:
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
                self._frontier.give_back(lap.buffer)

    async def _begin_run(self, lap: Lap) -> None:
        """Makes ready for the next run of a lap."""
        lap.buffer = await self._frontier.borrow(lap.run)
        lap.hot = self._frontier.is_hot(lap.run)

    async def _received(self, lap: Lap, count: int, nursery: trio.Nursery) -> None:
        """Counts bytes that are where they belong. A run that is full has landed."""
        lap.done += count
        run, buffer = lap.run, lap.buffer
        if lap.next_in(lap.done) is not None:  # not received by a thread that did it
            await self._engine.hashing(self._settle, lap, 0)
        if buffer is None or lap.done < run.bytes.stop:
            return
        if lap.hot:
            self._frontier.passed(buffer)
        else:
            self._frontier.arrived(run, buffer)
        lap.next_run()
        self._add_streams(nursery)
        if lap.missing.length and self._frontier.number == run.number:
            await self._frontier.drain()  # by ourselves: after that the next run is hot
        else:
            nursery.start_soon(self._guarded, self._frontier.drain, nursery)
        if lap.missing.length:
            await self._begin_run(lap)

    def _settle(self, lap: Lap, count: int) -> None:
        """Hashes and stages the chunks of a run that are complete when `count` more bytes have come, in a thread.

        Chunk by chunk, because staging and, where the run is hot, the second hash find the bytes in the core's own cache: up to 0.3
        CPU-seconds per GiB less for each. And the page cache takes a MiB of neighbouring memory at once, not eight: 0.5 to 1
        CPU-second per GiB less where a host has to give it first.
        """
        while (number := lap.next_in(lap.done + count)) is not None:
            chunk = self._grid.chunk_range(number)
            with lap.place(chunk) as data:
                self.proof.take_chunks(range(number, number + 1), data)
                if lap.hot:
                    self.proof.feed(chunk.start, data)
                if self._staging is not None and self.unstaged is None:
                    try:
                        self._staging.write(chunk.start, data)
                    except CacheUnusable as error:
                        self.unstaged = error
            lap.unsettled += 1
