"""What is wanted at one moment is asked for at once, by whoever has its turn, and says what it waits for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from mkfs.content.admission import Waiters
from mkfs.content.chunk_run import Want
from mkfs.content.chunk_store import ChunkStore
from mkfs.content.engine import Engine
from mkfs.content.gathering import Gathering
from mkfs.content.reads import Cause
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import grid_of
from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import LARGE, all_given_back, engine_at, means_of

GRID = grid_of(None, len(LARGE.content))
INDEX = ChunkIndex(LARGE.digest, GRID, digests_of(GRID, range(GRID.count), memoryview(LARGE.content)), None)


@asynccontextmanager
async def opened(root: Path, reader: MemoryReader) -> AsyncGenerator[tuple[Engine, Gathering], None]:
    async with engine_at(root / "cache") as engine:
        means = means_of(engine, reader, LARGE)
        store = ChunkStore(engine.cache, engine.memory, INDEX, means.shortage, means.label)
        await engine.on_disk(store.open, trio.current_time())
        yield engine, Gathering(means, store, engine.cache.lock(LARGE.digest))
        store.close()


def wants_of(engine: Engine, *numbers: int) -> list[Want]:
    return [Want(number, Waiters(engine.admission)) for number in numbers]


async def test_wants_of_one_moment_are_one_request_per_run_of_neighbours(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (engine, gathering):
        wants = wants_of(engine, 4, 2, 9, 3)
        for want in wants:
            gathering.add(want)
        for want in wants:
            await want.settled.wait()
            assert want.error is None
        assert (gathering.fetched, gathering.requests, reader.bytes_sent()) == (4, 2, 4 * MIB)
        await all_given_back(engine)


async def test_what_is_here_meanwhile_is_not_asked_for(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (engine, gathering):
        for _ in range(2):
            (want,) = wants_of(engine, 5)
            gathering.add(want)
            await want.settled.wait()
        assert want.chunk == LARGE.content[5 * MIB : 6 * MIB]
        assert gathering.requests == 1


async def test_a_turn_that_came_too_late_is_passed_on(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as other, opened(tmp_path, LARGE.reader()) as (_, gathering):
        (want,) = wants_of(other, 3)
        assert gathering._claim([want]).free == [want]
        want.leave()
        gathering._begin([want])
        assert other.cache.lock(LARGE.digest).try_chunk(3)


async def test_a_want_waits_for_its_run_or_for_another_process_and_for_nothing_once_it_is_settled(tmp_path: Path) -> None:
    reader, gate = LARGE.reader(), Stall(after_bytes=10)
    reader.faults.install(Fault(Match(), gate))
    async with engine_at(tmp_path / "cache") as other, opened(tmp_path, reader) as (engine, gathering):
        held = other.cache.lock(LARGE.digest)
        assert held.try_chunk(8)
        fetched, elsewhere = wants_of(engine, 1, 8)
        gathering.add(fetched)
        gathering.add(elsewhere)
        while not gate.gate.waiting:
            await trio.lowlevel.checkpoint()
        while (turn := gathering.obstacle(range(8, 9))) is None:
            await trio.lowlevel.checkpoint()
        assert turn.cause is Cause.TURN
        run = gathering.obstacle(range(3))
        assert run is not None
        assert (run.cause, run.received_bytes, run.size_bytes) == (Cause.CHUNKS, 10, MIB)
        assert gathering.obstacle(range(1)) is None
        assert gathering.obstacle(range(2, 8)) is None
        gate.release()
        await fetched.settled.wait()
        elsewhere.leave()
        await all_given_back(engine)
        while gathering.obstacle(range(GRID.count)) is not None:
            await trio.lowlevel.checkpoint()
