"""What a layer costs, and what its reads wait for, told while it happens."""

from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from mkfs.content.last_errors import LastErrors
from mkfs.content.layer import Layer
from mkfs.content.reads import Cause, Obstacle
from mkfs.content.traffic import Traffic, TrafficStatistics
from mkfs.errors import NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Match, ShortBody, Stall
from mkfs.units import MIB
from tests.content.test_trusted_index import index_of, layer_under
from tests.support.layers import LARGE, engine_at, layer_of


async def waits_for(layer: Layer, wanted: ByteRange, cause: Cause, received_bytes: int = 0) -> Obstacle:
    """What a read of `wanted` waits for, once it is `cause`, and so much of it has come. Threads are at work meanwhile."""
    with trio.fail_after(20):
        while (obstacle := layer.obstacle(wanted)).cause is not cause or obstacle.received_bytes < received_bytes:
            await trio.lowlevel.checkpoint()
    return obstacle


async def test_all_bytes_count_however_they_are_received() -> None:
    traffic = Traffic(LARGE.reader(), "w", LastErrors())
    async with traffic.open_range(LARGE.descriptor, ByteRange(0, MIB)) as stream:
        assert sum([len(piece) async for piece in stream]) == MIB
        assert traffic.hosts == (stream.host,)
    async with traffic.open_range(LARGE.descriptor, ByteRange(MIB, 2 * MIB)) as stream:
        with memoryview(bytearray(1000)) as target:
            count = await stream.receive_into(target)
    assert traffic.statistics() == TrafficStatistics(MIB + count, requests=2, failures=0, hosts=(stream.host,))


async def test_what_is_refused_is_told_with_the_layer() -> None:
    errors = LastErrors()
    traffic = Traffic(LARGE.reader(), "model w", errors)
    with pytest.raises(NotFound):
        async with traffic.open_range(Descriptor("x", Digest.of(b"other"), 5), ByteRange(0, 5)):
            pass
    (error,) = errors.latest()
    assert (error.kind, error.layer, error.count, error.reads_failed, error.host) == ("NotFound", "model w", 1, 0, "")
    assert traffic.statistics() == TrafficStatistics(0, requests=1, failures=1, hosts=())


async def test_what_breaks_off_is_told_with_its_host() -> None:
    reader, errors = LARGE.reader(), LastErrors()
    reader.faults.install(Fault(Match(), ShortBody(100)))
    traffic = Traffic(reader, "model w", errors)
    hosts = []

    async def read() -> None:
        async with traffic.open_range(LARGE.descriptor, ByteRange(0, MIB)) as stream:
            hosts.append(stream.host)
            async for _ in stream:
                pass

    with pytest.raises(Unreachable):
        await read()
    assert [error.host for error in errors.latest()] == hosts


async def test_a_try_that_is_repeated_is_no_reader_that_failed(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), ShortBody(100), times=3))
    async with engine_at(tmp_path) as engine:
        layer = layer_of(engine, reader, LARGE)
        await layer.open()
        assert await layer.read(ByteRange(5, 10)) == LARGE.content[5:10]
        errors = engine.errors.latest()
        assert (sum(error.count for error in errors), sum(error.reads_failed for error in errors)) == (3, 0)
        assert layer.statistics().traffic.fetched_bytes == len(LARGE.content)
        layer.close()


async def test_who_waits_for_a_proof_is_told_how_far_it_is(tmp_path: Path) -> None:
    reader = LARGE.reader(stall_seconds=1000)
    stall = Stall(MIB)
    reader.faults.install(Fault(Match(offset=0), stall))
    async with engine_at(tmp_path) as engine, trio.open_nursery() as nursery:
        layer = layer_of(engine, reader, LARGE)
        await layer.open()
        wanted = ByteRange(0, 10)
        nursery.start_soon(layer.read, wanted)
        obstacle = await waits_for(layer, wanted, Cause.PROOF, MIB)
        assert (obstacle.size_bytes, len(obstacle.hosts)) == (len(LARGE.content), 1)
        assert obstacle.received_bytes == layer.statistics().received_bytes
        stall.release()
        await layer.prove()
        assert layer.obstacle(wanted) == Obstacle(Cause.DISK)


async def test_who_waits_for_chunks_is_told_how_far_they_are(tmp_path: Path) -> None:
    reader = LARGE.reader(stall_seconds=1000)
    stall = Stall(100)
    reader.faults.install(Fault(Match(offset=0), stall))
    async with engine_at(tmp_path) as engine, trio.open_nursery() as nursery:
        layer = layer_under(engine, reader, LARGE, index_of(LARGE))
        await layer.open()
        await layer.table()
        wanted = ByteRange(0, MIB + 1)
        nursery.start_soon(layer.read, wanted)
        obstacle = await waits_for(layer, wanted, Cause.CHUNKS, 100)
        assert (obstacle.received_bytes, obstacle.size_bytes) == (100, 2 * MIB)
        assert len(obstacle.hosts) == 1
        assert layer.obstacle(ByteRange(5 * MIB, 6 * MIB)).cause is Cause.DISK  # nobody fetches that
        stall.release()
    assert layer.statistics().reach.wanted_bytes == layer.statistics().traffic.fetched_bytes == 2 * MIB


@pytest.mark.parametrize("known", [False, True], ids=["whole", "chunks"])
async def test_who_waits_for_another_process_is_told_so(tmp_path: Path, *, known: bool) -> None:
    async with engine_at(tmp_path) as engine, engine_at(tmp_path) as other, trio.open_nursery() as nursery:
        reader = LARGE.reader()
        layer = layer_under(engine, reader, LARGE, index_of(LARGE)) if known else layer_of(engine, reader, LARGE)
        await layer.open()
        await layer.table()
        lock = other.cache.lock(LARGE.digest)
        assert lock.try_chunk(0) if known else lock.try_layer()
        wanted = ByteRange(0, 10)
        nursery.start_soon(layer.read, wanted)
        assert await waits_for(layer, wanted, Cause.TURN) == Obstacle(Cause.TURN)
        if known:
            lock.release_chunk(0)
        else:
            lock.release_layer()
        await waits_for(layer, wanted, Cause.DISK)


async def test_filling_and_verifying_are_no_readers(tmp_path: Path) -> None:
    async with engine_at(tmp_path) as engine:
        layer = layer_under(engine, LARGE.reader(), LARGE, index_of(LARGE))
        await layer.open()
        await layer.fill()
        await layer.verify()
        reach = layer.statistics().reach
        assert (reach.wanted_bytes, reach.guessed_bytes) == (0, 0)
        layer.close()
