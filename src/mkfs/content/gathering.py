"""From wants to runs: what is wanted at one moment is seen to together, by this process or by the one that has its turn.

Theory. Wants that come at one moment are *gathered*: in one step in a thread, each chunk's turn among processes is tried, and what
came into the cache meanwhile is taken from there; the rest is fetched in runs of neighbours (`content.chunk_run`). Where another
process has the turn, a task waits for it (`content.turns`) and the want is gathered anew. Where the cache has no room, another
process could not give us what it fetches: then there are no turns.

Atomic between checkpoints: a want is in `_wants`, with a gathering, with a task that waits for its turn, or with a run; its flight
learns of it by `Want.settled` alone.
"""

from dataclasses import dataclass, field
from typing import final

import trio

from mkfs.cache.locks import LayerLock
from mkfs.content.chunk_run import ChunkRun, RunMeans, Want, neighbours
from mkfs.content.chunk_store import ChunkStore
from mkfs.content.means import LayerMeans
from mkfs.content.reads import Buffer, Cause, Obstacle
from mkfs.content.turns import showing, take_turn


@final
@dataclass(frozen=True, slots=True)
class _Claims:
    """What became of wants: ours to fetch, another process's turn, or here already."""

    free: list[Want] = field(default_factory=list)
    taken: list[Want] = field(default_factory=list)
    here: list[tuple[Want, Buffer]] = field(default_factory=list)


@final
class Gathering:
    """Settles the wants of one layer; `requests` were made for `fetched` chunks so far."""

    def __init__(self, means: LayerMeans, store: ChunkStore, lock: LayerLock) -> None:
        self._label, self._store, self._lock = means.label, store, lock
        self._engine, self._grid = means.engine, store.index.grid
        self._run_means = RunMeans(means, store, lock.release_chunk)
        self._wants: list[Want] = []  # not gathered yet
        self._gathering = False  # somebody will come for `_wants`
        self._runs: set[ChunkRun] = set()  # under way
        self._turns: set[int] = set()  # chunks that another process has the turn of
        self.fetched = self.requests = 0

    def add(self, want: Want) -> None:
        """Has `want` settled, in a task of its own; the flight says `Want.leave` when it waits no more."""
        self._wants.append(want)
        if not self._gathering:
            self._engine.nursery.start_soon(self._gather)
            self._gathering = True

    def obstacle(self, chunks: range) -> Obstacle | None:
        """What the wants of `chunks` wait for, without hosts; None where nobody is at work on one of them."""
        runs = [run for run in self._runs if run.numbers.start < chunks.stop and chunks.start < run.numbers.stop]
        if runs:
            return Obstacle(Cause.CHUNKS, sum(run.received_bytes for run in runs), sum(run.size_bytes for run in runs))
        return Obstacle(Cause.TURN) if any(number in self._turns for number in chunks) else None

    async def _gather(self) -> None:
        """Sees to all that is wanted now, and to what comes while it does."""
        await trio.lowlevel.checkpoint()  # flights that start at this moment are all here then
        while self._wants:
            wants, self._wants = [want for want in self._wants if not want.left], []
            await self._see_to(wants)
        self._gathering = False

    async def _see_to(self, wants: list[Want]) -> None:
        if not self._store.is_shared(trio.current_time()):  # another process could not give us what it fetches
            self._begin(wants)
            return
        try:
            claims = await self._engine.on_disk(self._claim, wants)
        except Exception as error:  # noqa: BLE001 - handed to the flights, who are its callers
            for want in wants:
                want.fail(error)
            return
        for want in claims.taken:
            self._engine.nursery.start_soon(self._wait_for_turn, want)
        for want, chunk in claims.here:
            want.land(chunk)
        self._begin(claims.free)

    def _begin(self, wants: list[Want]) -> None:
        for want in wants:
            if want.left:
                self._lock.release_chunk(want.number)
        for group in neighbours((want for want in wants if not want.left), self._store):
            self._engine.nursery.start_soon(self._fetch, ChunkRun(self._run_means, group))

    def _claim(self, wants: list[Want]) -> _Claims:
        """Tries the turns of `wants`. Who had a turn before us may have brought the chunk meanwhile. Blocks."""
        claims = _Claims()
        for want in wants:
            if not want.has_turn and not self._lock.try_chunk(want.number):
                claims.taken.append(want)
                continue
            here = not self._store.missing(range(want.number, want.number + 1))
            chunk = self._store.read(self._grid.chunk_range(want.number)) if here else None
            if chunk is None:
                claims.free.append(want)
            else:
                claims.here.append((want, chunk))
                self._lock.release_chunk(want.number)
        return claims

    async def _wait_for_turn(self, want: Want) -> None:
        self._turns.add(want.number)
        try:
            with want.turn:
                await take_turn(self._engine, self._lock, want.number, f"a chunk of {self._label}")
        except Exception as error:  # noqa: BLE001 - handed to the flight, who is its caller
            want.fail(error)
        finally:
            self._turns.discard(want.number)
        if want.left:
            self._lock.release_chunk(want.number)
        elif not want.settled.is_set():
            want.has_turn = True
            self.add(want)

    async def _fetch(self, run: ChunkRun) -> None:
        self.requests += 1
        self.fetched += len(run.numbers)
        self._engine.tally.chunk_requests += 1
        self._engine.tally.chunks_fetched += len(run.numbers)
        self._runs.add(run)
        try:
            with showing(self._engine, self._lock, run.numbers, lambda: run.received_bytes):
                await run.fetch()
        finally:
            self._runs.remove(run)
