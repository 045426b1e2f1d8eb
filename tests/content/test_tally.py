"""What layers went through, counted for all of a mount: it only grows, whatever becomes of a layer."""

from pathlib import Path

import pytest
import trio

from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.errors import Mismatch
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import TWO_LAPS, Everybody, engine_at, layer_of

WHOLE = TWO_LAPS.whole
HERE = ByteRange(5 * MIB + 10, 5 * MIB + 20)


async def read_by_chunks(engine: Engine, reader: MemoryReader) -> Layer:
    """A layer that was proven and evicted, so that its own index is trusted."""
    first = layer_of(engine, TWO_LAPS.reader(), TWO_LAPS)
    await first.prove()
    first.close()
    engine.cache.drop(TWO_LAPS.digest)
    layer = layer_of(engine, reader, TWO_LAPS)
    await layer.open()
    return layer


async def test_a_read_that_waits_for_bytes_is_a_miss_and_one_that_finds_them_none(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, TWO_LAPS.reader(), TWO_LAPS)
        for misses in (1, 1, 1):
            await layer.read(WHOLE)
            assert engine.tally.statistics().misses == misses


async def test_chunks_are_counted_by_requests_and_misses(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = await read_by_chunks(engine, reader)
        for wanted in (HERE, HERE, ByteRange(20 * MIB, 22 * MIB)):
            await layer.read(wanted)
        told = engine.tally.statistics()
        assert (told.misses, told.chunk_requests, told.chunks_fetched) == (2, len(reader.requests()), 3)
        layer.close()
        assert engine.tally.statistics() == told


@pytest.mark.logs("does not match its digest", "two fetches brought the same wrong bytes")
async def test_each_fetch_of_a_layer_that_came_wrong_is_counted(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), Flip(7)))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        for _ in range(2):  # the second one is refused without a fetch
            with pytest.raises(Mismatch):
                await layer.read(WHOLE)
        assert engine.tally.statistics().wrong_layers == 2


@pytest.mark.parametrize(("times", "wrong"), [(1, 1), (2, 2)])
@pytest.mark.logs("do not match their digest")
async def test_each_fetch_of_a_chunk_that_came_wrong_is_counted(tmp_path: Path, times: int, wrong: int) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), Flip(5 * MIB + 7), times=times))
    async with engine_at(tmp_path / "cache") as engine:
        layer = await read_by_chunks(engine, reader)
        try:
            await layer.read(HERE)
        except Mismatch:
            assert times == 2
        told = engine.tally.statistics()
        assert (told.wrong_chunks, told.wrong_layers) == (wrong, 0)


@pytest.mark.logs("does not match its digest", "same wrong bytes", "was never proven")
async def test_bytes_that_were_handed_out_and_never_proven_are_counted(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), Flip(7)))
    async with engine_at(tmp_path / "cache") as engine:
        layer = Layer(
            engine=engine, reader=reader, access=Everybody(), blob=TWO_LAPS.descriptor, label="model test", tar=False, deferred=True
        )
        told = trio.Event()

        async def on_distrust() -> None:
            told.set()

        layer.watch(on_distrust)
        await layer.open()
        await layer.read(HERE)
        await told.wait()
        assert engine.tally.statistics().wrong_answers == 1
