"""Reads under a chunk index: only what is wanted, once per node, each chunk right or refused by itself."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mkfs.content.admission import Urgency
from mkfs.content.chunk_store import PAUSE_SECONDS
from mkfs.content.chunks import ChunkFetch
from mkfs.content.engine import Engine
from mkfs.content.patience import ABSENCE_SECONDS, FIRST_VERDICT_SECONDS
from mkfs.content.receive import RangesIgnored
from mkfs.errors import Mismatch, Unreachable
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import grid_of
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Reset, Stall, Status
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import LARGE, Blob, all_given_back, engine_at, means_of, quiet, seeded

WHOLE = LARGE.whole
TWO_FILES = Blob(seeded(5, 6 * MIB + 100))


@cache
def index_of(blob: Blob, border: int | None = None) -> ChunkIndex:
    """The index of a proof; with a `border` as of two stored files that meet there."""
    grid = grid_of(None, len(blob.content))
    if border is not None:
        grid = type(grid)(
            len(blob.content),
            (
                type(grid.segments[0])(ByteRange(0, border), 1, 0),
                type(grid.segments[0])(ByteRange(border, len(blob.content)), 2, 0),
            ),
        )
    chunks = (grid.chunk_range(number) for number in range(grid.count))
    digests = b"".join(sha256(blob.content[chunk.start : chunk.stop]).digest() for chunk in chunks)
    return ChunkIndex(blob.digest, grid, digests, None)


async def chunks_of(engine: Engine, reader: MemoryReader, blob: Blob = LARGE, border: int | None = None) -> ChunkFetch:
    return await ChunkFetch.open(means_of(engine, reader, blob), index_of(blob, border))


@asynccontextmanager
async def opened(root: Path, reader: MemoryReader, limit: int | None = None) -> AsyncGenerator[tuple[Engine, ChunkFetch], None]:
    async with engine_at(root / "cache", size_limit_bytes=limit) as engine:
        chunks = await chunks_of(engine, reader)
        yield engine, chunks
        chunks.close()


async def right(chunks: ChunkFetch, wanted: ByteRange, blob: Blob = LARGE) -> None:
    """Reads as a file system does."""
    answer = chunks.read_now(wanted)
    assert bytes(await chunks.read(wanted) if answer is None else answer) == blob.content[wanted.start : wanted.stop]


async def test_only_the_chunk_that_is_wanted_is_fetched_and_once(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (engine, chunks):
        await right(chunks, ByteRange(5 * MIB + 10, 5 * MIB + 20))
        await right(chunks, ByteRange(5 * MIB + 500, 6 * MIB))
        assert [served.range for served in reader.requests()] == [ByteRange(5 * MIB, 6 * MIB)]
        await all_given_back(engine)
    async with opened(tmp_path, reader) as (_, chunks):  # another process, later
        await right(chunks, ByteRange(5 * MIB, 6 * MIB))
        assert len(reader.requests()) == 1


async def test_neighbours_come_in_one_request_up_to_eight_mebibytes(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (engine, chunks):
        await right(chunks, ByteRange(9 * MIB, 10 * MIB))
        await right(chunks, WHOLE)
        assert sorted(served.range for served in reader.requests()[1:]) == [
            ByteRange(0, 8 * MIB),
            ByteRange(8 * MIB, 9 * MIB),
            ByteRange(10 * MIB, 18 * MIB),
            ByteRange(18 * MIB, WHOLE.stop),
        ]
        assert reader.bytes_sent() == WHOLE.length
        await all_given_back(engine)


async def test_readers_of_neighbouring_chunks_share_a_request(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (_, chunks), trio.open_nursery() as nursery:
        for number in range(8):  # past the look at the disk, which a thread takes for each: they end at different times
            nursery.start_soon(chunks._chunk, number, Urgency.DEMAND)
    assert [served.range for served in reader.requests()] == [ByteRange(0, 8 * MIB)]


async def test_nobody_waits_for_the_chunks_behind_his_own(tmp_path: Path) -> None:
    reader = LARGE.reader()
    gate = Stall(after_bytes=3 * MIB + 5)
    reader.faults.install(Fault(Match(offset=0), gate))
    async with opened(tmp_path, reader) as (_, chunks), trio.open_nursery() as nursery:
        nursery.start_soon(right, chunks, ByteRange(0, 8 * MIB))
        while not gate.gate.waiting:
            await trio.lowlevel.checkpoint()
        with trio.fail_after(20):
            await right(chunks, ByteRange(2 * MIB, 3 * MIB))
        gate.release()
    assert len(reader.requests()) == 1


async def test_a_reader_who_reads_on_gets_ahead_and_one_at_random_does_not(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (engine, chunks):
        for at in (12, 15, 18):
            await right(chunks, ByteRange(at * MIB, at * MIB + 4096))
        await quiet(engine)
        assert reader.bytes_sent() == 3 * MIB
        await right(chunks, ByteRange(0, MIB))
        await right(chunks, ByteRange(MIB, 2 * MIB))
        await quiet(engine)  # what is ahead is asked for after a look at the disk, in a thread
        asked = len(reader.requests())
        await right(chunks, ByteRange(3 * MIB, 4 * MIB))
        assert len(reader.requests()) == asked


async def test_what_is_ahead_stays_within_the_file(tmp_path: Path) -> None:
    reader, border = TWO_FILES.reader(), 3 * MIB
    async with engine_at(tmp_path / "cache") as engine:
        chunks = await chunks_of(engine, reader, TWO_FILES, border)
        for wanted in ByteRange(0, border).pieces(MIB // 2):
            await right(chunks, wanted, TWO_FILES)
        await quiet(engine)
        assert reader.bytes_sent() == border


@pytest.mark.logs(r"bytes \[5242880, 6291456\) of model test do not match")
async def test_a_chunk_that_was_hurt_on_the_way_is_fetched_again_past_all_caches(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), Flip(5 * MIB + 7), times=1))
    async with opened(tmp_path, reader) as (engine, chunks):
        await right(chunks, ByteRange(0, 8 * MIB))
        assert reader.bytes_sent() == 9 * MIB
        assert ["cache-control" in served.header_names for served in reader.requests()] == [False, True]
        await all_given_back(engine)


@pytest.mark.logs("do not match", "two fetches brought the same wrong bytes")
async def test_a_damaged_chunk_is_refused_for_a_minute_and_its_neighbours_are_served(tmp_path: Path, mock_clock: MockClock) -> None:
    reader = LARGE.reader()
    fault = reader.faults.install(Fault(Match(), Flip(MIB + 7)))
    async with opened(tmp_path, reader) as (_, chunks):
        with pytest.raises(Mismatch) as caught:
            await chunks.read(ByteRange(MIB, MIB + 1))
        assert LARGE.digest.hex in caught.value.what
        assert "registry.test" in caught.value.where
        await right(chunks, ByteRange(0, MIB))
        await right(chunks, ByteRange(2 * MIB, 3 * MIB))
        asked = len(reader.requests())
        reader.faults.mend(fault)
        with pytest.raises(Mismatch):
            await chunks.read(ByteRange(MIB - 1, MIB + 1))
        assert len(reader.requests()) == asked
        mock_clock.jump(FIRST_VERDICT_SECONDS)
        await right(chunks, ByteRange(0, 3 * MIB))


async def test_a_broken_transfer_goes_on_and_a_dead_registry_is_an_error_for_now(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(offset=0), Reset(2 * MIB + 5), times=1))
    async with opened(tmp_path, reader) as (engine, chunks):
        await right(chunks, ByteRange(0, 8 * MIB))
        assert reader.bytes_sent() == 8 * MIB
        dead = reader.faults.install(Fault(Match(), Status(503)))
        with pytest.raises(Unreachable):
            await chunks.read(ByteRange(9 * MIB, 12 * MIB))  # not where the last one stopped: nothing goes ahead
        await all_given_back(engine)
        await trio.sleep(ABSENCE_SECONDS)
        reader.faults.mend(dead)
        await right(chunks, WHOLE)


async def test_who_waited_in_vain_for_a_chunk_is_not_made_to_wait_again_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    dead = reader.faults.install(Fault(Match(), Status(503)))
    async with opened(tmp_path, reader) as (_, chunks):
        with pytest.raises(Unreachable):
            await chunks.read(ByteRange(0, 5))
        asked, now = len(reader.requests()), trio.current_time()
        with pytest.raises(Unreachable):
            await chunks.read(ByteRange(MIB - 5, MIB))  # the kernel, again for the same page
        assert (len(reader.requests()), trio.current_time()) == (asked, now)
        reader.faults.mend(dead)
        await right(chunks, ByteRange(MIB, 2 * MIB))  # another chunk is another matter
        await trio.sleep(ABSENCE_SECONDS)
        await right(chunks, WHOLE)


async def test_a_server_that_ignores_ranges_is_found_out(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with opened(tmp_path, reader) as (engine, chunks):
        with pytest.raises(RangesIgnored):
            await chunks.read(ByteRange(MIB, MIB + 1))
        await all_given_back(engine)


async def test_what_nobody_waits_for_any_more_is_not_fetched_on(tmp_path: Path) -> None:
    reader = LARGE.reader()
    gate = Stall(after_bytes=MIB // 2)
    reader.faults.install(Fault(Match(offset=0), gate))
    async with opened(tmp_path, reader) as (engine, chunks):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chunks.read, ByteRange(0, 2 * MIB))
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await quiet(engine)
        assert engine.buffers.lent == 0
        assert chunks.statistics().waiting == 0
        reader.faults.mend_all()
        await right(chunks, ByteRange(0, 2 * MIB))


async def test_a_reader_who_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    reader = LARGE.reader()
    gate = Stall(after_bytes=MIB // 2)
    reader.faults.install(Fault(Match(offset=0), gate))
    async with opened(tmp_path, reader) as (_, chunks), trio.open_nursery() as nursery:
        leaving = trio.CancelScope()

        async def leave() -> None:
            with leaving:
                await chunks.read(ByteRange(0, 2 * MIB))

        nursery.start_soon(leave)
        while not gate.gate.waiting:
            await trio.lowlevel.checkpoint()
        nursery.start_soon(right, chunks, ByteRange(MIB, MIB + 5))
        while chunks.statistics().waiting < 3:  # one of them looks at the disk first, in a thread
            await trio.lowlevel.checkpoint()
        leaving.cancel()
        while chunks.statistics().waiting > 1:
            await trio.lowlevel.checkpoint()
        gate.release()
    assert reader.bytes_sent() == 2 * MIB


async def test_two_processes_fetch_each_chunk_once(tmp_path: Path) -> None:
    reader = LARGE.reader()
    gate = Stall(after_bytes=MIB // 2)
    reader.faults.install(Fault(Match(offset=0), gate))
    async with opened(tmp_path, reader) as (_, one), opened(tmp_path, reader) as (_, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(right, one, ByteRange(0, 8 * MIB))
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(right, other, ByteRange(4 * MIB, 12 * MIB))
            await trio.testing.wait_all_tasks_blocked(0.02)
            gate.release()
        assert reader.bytes_sent() == 12 * MIB
        assert (one.statistics().fetched, other.statistics().fetched) == (8, 4)


async def test_a_process_that_stopped_in_the_middle_is_overtaken(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    async with engine_at(tmp_path / "cache") as stopped:
        lock = stopped.cache.lock(LARGE.digest)
        assert lock.try_chunk(3)
        async with opened(tmp_path, reader) as (_, chunks):
            await right(chunks, ByteRange(2 * MIB, 5 * MIB))
        assert reader.bytes_sent() == 3 * MIB
        assert lock.try_chunk(2)  # let go of, when it was here


async def test_waiting_for_a_turn_ends_with_the_reader(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with engine_at(tmp_path / "cache") as holder, opened(tmp_path, reader) as (engine, chunks):
        lock = holder.cache.lock(LARGE.digest)
        assert lock.try_chunk(3)
        with trio.move_on_after(0.03):
            await chunks.read(ByteRange(3 * MIB, 4 * MIB))
        await quiet(engine)
        assert reader.requests() == ()


@pytest.mark.logs("model test cannot be kept, its reads go on slower: no room in the cache")
async def test_without_room_in_the_cache_reads_go_on_from_memory(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader, limit=0) as (engine, chunks):
        for wanted in (ByteRange(5, 10), ByteRange(20, 5000), ByteRange(MIB - 1, MIB + 1), WHOLE):
            await right(chunks, wanted)
        assert reader.bytes_sent() == WHOLE.length
        assert chunks.read_now(ByteRange(WHOLE.stop - 5, WHOLE.stop)) == LARGE.content[-5:]
        engine.memory.clear()
        await right(chunks, ByteRange(7 * MIB, 8 * MIB + 5))
        assert reader.bytes_sent() == WHOLE.length + 2 * MIB


@pytest.mark.logs("cannot be kept")
async def test_a_cache_without_room_is_left_alone_for_a_while_and_said_once(
    tmp_path: Path, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, LARGE.reader(), limit=0) as (engine, chunks):
        await right(chunks, WHOLE)
        assert chunks._store._shortage.count == 1
        mock_clock.jump(PAUSE_SECONDS)
        engine.memory.clear()
        await right(chunks, ByteRange(0, 1))
        await right(chunks, ByteRange(5 * MIB, 6 * MIB))
        assert chunks._store._shortage.count == 2
    assert len([record for record in caplog.records if "cannot be kept" in record.getMessage()]) == 1


@pytest.mark.logs("cannot be kept", "do not match their digest; fetching them again")
async def test_without_room_a_chunk_is_checked_as_well(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), Flip(5 * MIB + 7), times=1))
    async with opened(tmp_path, reader, limit=0) as (_, chunks):
        await right(chunks, ByteRange(5 * MIB, 6 * MIB))
        assert reader.bytes_sent() == 2 * MIB


@pytest.mark.logs("model test cannot be kept, its reads go on slower: no room in the cache")
async def test_a_cache_that_fills_up_keeps_what_it_has(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader, limit=6 * MIB) as (engine, chunks):
        await right(chunks, WHOLE)
        sent = reader.bytes_sent()
        assert sent == WHOLE.length
        engine.memory.clear()
        await right(chunks, WHOLE)
        assert 14 * MIB <= reader.bytes_sent() - sent <= 18 * MIB


@pytest.mark.logs("cached bytes of model test are damaged and will be fetched again")
async def test_a_chunk_that_rots_on_our_disk_is_fetched_again_alone(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with opened(tmp_path, reader) as (_, chunks):
        await right(chunks, WHOLE)
    (file,) = (each for each in (tmp_path / "cache").rglob("*") if each.is_file() and each.stat().st_size == WHOLE.length)
    with file.open("r+b") as rotten:
        rotten.seek(6 * MIB)
        rotten.write(b"rot")
    sent = reader.bytes_sent()
    async with opened(tmp_path, reader) as (_, chunks):
        await right(chunks, WHOLE)
        assert reader.bytes_sent() - sent == MIB
        assert chunks.statistics().damages == 1


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, WHOLE.length), st.integers(0, 3 * MIB)), min_size=1, max_size=12), st.booleans())
async def test_whatever_is_read_at_once_is_right_and_fetched_once(
    tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[int, int]], one_process: bool
) -> None:
    reader = LARGE.reader()
    root = tmp_path_factory.mktemp("property")
    async with opened(root, reader) as (_, one), opened(root, reader) as (_, other):
        async with trio.open_nursery() as nursery:
            for at, (start, length) in enumerate(reads):
                wanted = ByteRange(start, min(start + length, WHOLE.stop))
                nursery.start_soon(right, one if one_process or at % 2 else other, wanted)
        await trio.testing.wait_all_tasks_blocked(0.001)
        asked = [number for served in reader.requests() for number in one.index.grid.chunks(served.range)]
        assert len(asked) == len(set(asked))
