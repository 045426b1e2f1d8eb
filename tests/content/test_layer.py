"""A layer: right bytes or an error, each byte fetched once, and nobody served before the whole is proven."""

from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from mkfs.cache.store import Cache
from mkfs.content.patience import ABSENCE_SECONDS, FIRST_VERDICT_SECONDS
from mkfs.errors import IntegrityError, Mismatch, NotFound, Unreachable
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import as_body
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Reset, ShortBody, Stall, Status
from mkfs.units import MIB
from tests.support.layers import ARCHIVE, TWO_LAPS, engine_at, layer_of, quiet

WHOLE = ByteRange(0, len(TWO_LAPS.content))


async def test_the_first_read_fetches_the_layer_once_and_later_ones_nothing(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        await layer.open()
        for wanted in (ByteRange(5, 10), ByteRange(MIB - 3, 3 * MIB + 1), WHOLE):
            assert bytes(await layer.read(wanted)) == TWO_LAPS.content[wanted.start : wanted.stop]
        assert reader.bytes_sent() == WHOLE.length
        assert layer.statistics().fetches == 1
        assert engine.buffers.lent == 0


async def test_another_process_finds_it_published_and_fetches_nothing(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, TWO_LAPS.reader(), TWO_LAPS).prove()
    reader = TWO_LAPS.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        await layer.open()
        assert layer.published
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert reader.requests() == ()


async def test_what_was_just_proven_is_answered_without_waiting(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, TWO_LAPS.reader(), TWO_LAPS)
        wanted = ByteRange(4 * MIB - 100, 4 * MIB + 100)
        assert layer.read_now(wanted) is None
        await layer.prove()
        assert bytes(layer.read_now(wanted) or await layer.read(wanted)) == TWO_LAPS.content[wanted.start : wanted.stop]


async def test_many_readers_at_once_cost_one_fetch(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)

        async def read(wanted: ByteRange) -> None:
            assert bytes(await layer.read(wanted)) == TWO_LAPS.content[wanted.start : wanted.stop]

        async with trio.open_nursery() as nursery:
            for wanted in WHOLE.pieces(MIB // 2):
                nursery.start_soon(read, wanted)
        assert reader.bytes_sent() == WHOLE.length


async def test_no_byte_is_served_before_the_last_one_is_proven(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    last = Stall(after_bytes=1000)  # of the second request, which brings the end of the layer
    reader.faults.install(Fault(Match(offset=WHOLE.stop - 1), last))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        first = ByteRange(0, 10)
        got: list[bytes] = []

        async def read() -> None:
            got.append(bytes(await layer.read(first)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with trio.fail_after(20):
                while not last.gate.waiting or reader.bytes_sent() < 32 * MIB + 1000:
                    await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (got, layer.read_now(first)) == ([], None)
            assert engine.cache.layer(TWO_LAPS.digest) is None
            last.release()
        assert got == [TWO_LAPS.content[:10]]


@pytest.mark.logs("does not match its digest")
async def test_a_bit_flipped_on_the_way_is_fetched_again_past_all_caches(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(offset=5 * MIB), Flip(5 * MIB), times=1))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert reader.bytes_sent() == 2 * WHOLE.length
        fresh = [served.range.length for served in reader.requests() if "cache-control" in served.header_names]
        assert sum(fresh) == WHOLE.length  # in as many requests as the link rewards by then


@pytest.mark.logs("does not match its digest", "two fetches brought the same wrong bytes")
async def test_a_damaged_blob_is_refused_for_a_minute_and_served_once_it_is_mended(tmp_path: Path, mock_clock: MockClock) -> None:
    reader = TWO_LAPS.reader()
    fault = reader.faults.install(Fault(Match(), Flip(7)))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        with pytest.raises(Mismatch) as caught:
            await layer.read(ByteRange(10 * MIB, 10 * MIB + 1))
        assert TWO_LAPS.digest.hex in caught.value.what
        assert "registry.test" in caught.value.where
        asked = len(reader.requests())
        reader.faults.mend(fault)
        with pytest.raises(Mismatch):
            await layer.read(ByteRange(0, 1))
        assert len(reader.requests()) == asked
        mock_clock.jump(FIRST_VERDICT_SECONDS)
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content


@pytest.mark.logs("does not match its digest", r"two fetches differ within bytes \[3145728, 6291456\)")
async def test_the_evidence_names_the_range_where_two_bad_fetches_differ(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(offset=3 * MIB), Flip(3 * MIB), times=1))
    reader.faults.install(Fault(Match(offset=5 * MIB, nth=2), Flip(5 * MIB)))
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(Mismatch):
            await layer_of(engine, reader, TWO_LAPS).prove()


async def test_broken_transfers_go_on_from_the_last_good_byte(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(offset=0), ShortBody(MIB), times=1))
    reader.faults.install(Fault(Match(offset=9 * MIB), Reset(2 * MIB), times=1))
    reader.faults.install(Fault(Match(offset=35 * MIB), Status(503), times=3))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert reader.bytes_sent() == WHOLE.length
        assert engine.buffers.lent == 0


@pytest.mark.parametrize(("streams", "requests"), [(2, [32, 8]), (4, [16, 16, 8]), (6, [8, 8, 8, 8, 8])])
async def test_as_many_requests_are_under_way_as_the_link_rewards(tmp_path: Path, streams: int, requests: list[int]) -> None:
    reader, held = TWO_LAPS.reader(), Stall(after_bytes=MIB)
    reader.faults.install(Fault(Match(), held))
    async with engine_at(tmp_path / "cache") as engine:
        engine.admission.pace.streams = streams
        layer = layer_of(engine, reader, TWO_LAPS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(layer.prove)
            with trio.fail_after(30):
                while held.gate.waiting < len(requests):
                    await trio.lowlevel.checkpoint()
            sizes = sorted((served.range.length // MIB for served in reader.requests()), reverse=True)
            assert sizes[: len(requests)] == requests
            held.release()
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert engine.buffers.lent == 0


@pytest.mark.parametrize("stalled", [0, 9 * MIB + 1, 31 * MIB, 33 * MIB], ids=lambda at: f"at {at // MIB} MiB")
async def test_streams_that_overtake_each_other_prove_the_same_bytes(tmp_path: Path, stalled: int) -> None:
    reader, second = TWO_LAPS.reader(), 32 * MIB  # where the second request begins
    held = Stall(after_bytes=stalled % second)
    reader.faults.install(Fault(Match(offset=stalled), held, times=1))
    others = second if stalled > second else WHOLE.length - second
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(layer.prove)
            with trio.fail_after(30):
                while not held.gate.waiting or reader.bytes_sent() < held.after_bytes + others:
                    await trio.lowlevel.checkpoint()
            assert not layer.proven
            held.release()
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert reader.bytes_sent() == WHOLE.length
        assert engine.buffers.lent == 0


async def test_a_dead_registry_ends_in_an_error_that_says_so_and_the_next_read_tries_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    reader = TWO_LAPS.reader()
    fault = reader.faults.install(Fault(Match(), Status(503)))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        with pytest.raises(Unreachable):
            await layer.read(ByteRange(0, 1))
        assert engine.buffers.lent == 0
        asked, now = len(reader.requests()), trio.current_time()
        with pytest.raises(Unreachable):
            await layer.read(ByteRange(0, 1))  # the kernel, again for the same page: who waited is not made to wait again at once
        assert (len(reader.requests()), trio.current_time()) == (asked, now)
        await trio.sleep(ABSENCE_SECONDS)
        reader.faults.mend(fault)
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content


async def test_a_blob_that_is_gone_is_not_asked_for_again_and_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), Status(404)))
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(NotFound):
            await layer_of(engine, reader, TWO_LAPS).read(ByteRange(0, 1))
        assert len(reader.requests()) <= 4


@pytest.mark.parametrize("tar", [False, True])
async def test_a_server_that_ignores_ranges_is_read_as_one_stream(tmp_path: Path, autojump_clock: MockClock, *, tar: bool) -> None:
    blob = ARCHIVE if tar else TWO_LAPS
    reader = blob.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    reader.faults.install(Fault(Match(nth=6), ShortBody(6 * MIB), times=1))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, blob, tar=tar)
        await layer.table()
        assert bytes(await layer.read(ByteRange(0, len(blob.content)))) == blob.content
        assert engine.buffers.lent == 0


async def test_a_table_from_headers_is_provisional_until_the_layer_is_proven(tmp_path: Path) -> None:
    reader = ARCHIVE.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, ARCHIVE, tar=True)
        await layer.open()
        table = await layer.table()
        assert table is not None
        assert [entry.path for entry in table] == [b"small", b"large", b"middle", b"last"]
        assert layer.provisional
        assert reader.bytes_sent() < 200_000
        large = table[1]
        wanted = ByteRange(large.content_offset, large.content_offset + large.size_bytes)
        assert bytes(await layer.read(wanted)) == ARCHIVE.content[wanted.start : wanted.stop]
        assert not layer.provisional
        stored = engine.cache.layer(ARCHIVE.digest)
        assert stored is not None
        assert stored.index.table == table
        stored.close()


@pytest.mark.logs("not what the layer proves")
async def test_names_that_lied_make_the_layer_fail_and_are_right_at_the_next_mount(tmp_path: Path) -> None:
    reader = ARCHIVE.reader()
    honest = ARCHIVE.content
    lying = bytearray(honest)
    at = honest.index(b"middle")
    lying[at : at + 6] = b"muddle"
    header = at - at % 512
    total = sum(lying[header : header + 148]) + 8 * 32 + sum(lying[header + 156 : header + 512])
    lying[header + 148 : header + 156] = b"%06o\0 " % total
    reader.blobs[ARCHIVE.digest] = as_body(bytes(lying))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, ARCHIVE, tar=True)
        table = await layer.table()
        assert table is not None
        assert table[2].path == b"muddle"
        reader.blobs[ARCHIVE.digest] = ARCHIVE.reader().blobs[ARCHIVE.digest]
        for _ in range(2):
            with pytest.raises(IntegrityError, match="names or sizes"):
                await layer.read(ByteRange(0, 10))
        assert layer.read_now(ByteRange(0, 10)) is None
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, ARCHIVE, tar=True)
        await layer.open()
        table = await layer.table()
        assert table is not None
        assert table[2].path == b"middle"
        assert bytes(await layer.read(ByteRange(0, 2000))) == honest[:2000]


async def test_the_same_bytes_kept_as_a_plain_file_can_be_read_as_an_archive(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, ARCHIVE.reader(), ARCHIVE).prove()
        layer = layer_of(engine, ARCHIVE.reader(), ARCHIVE, tar=True)
        await layer.open()
        table = await layer.table()
        assert table is not None
        assert len(table) == 4
        assert not layer.provisional


@pytest.mark.logs("damaged and will be fetched again")
async def test_bytes_that_rot_on_our_disk_are_fetched_again_and_no_others(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, TWO_LAPS.reader(), TWO_LAPS).prove()
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size >= WHOLE.length]
    assert len(files) == 1
    with files[0].open("r+b") as file:
        file.seek(6 * MIB)
        file.write(b"rot")
    reader = TWO_LAPS.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        await layer.open()
        assert bytes(await layer.read(ByteRange(0, MIB))) == TWO_LAPS.content[:MIB]
        assert reader.requests() == ()
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content
        assert reader.bytes_sent() == MIB


async def test_a_reader_who_leaves_does_not_take_the_layer_with_it(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    gate = Stall()
    reader.faults.install(Fault(Match(), gate))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        leaving = trio.CancelScope()

        async def leave() -> None:
            with leaving:
                await layer.read(ByteRange(0, 1))

        async def stay() -> None:
            assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            nursery.start_soon(stay)
            while layer.statistics().waiting < 2:
                await trio.lowlevel.checkpoint()
            leaving.cancel()
            gate.release()
        assert reader.bytes_sent() == WHOLE.length


async def test_a_layer_nobody_waits_for_any_more_is_not_fetched_on(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    gate = Stall()
    reader.faults.install(Fault(Match(), gate))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, TWO_LAPS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(layer.read, ByteRange(0, 1))
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await quiet(engine)  # it leaves what it received behind, in a thread
        assert engine.buffers.lent == 0
        assert layer.statistics().waiting == 0
    with_nothing = Cache.open(tmp_path / "cache")
    assert with_nothing.layer(TWO_LAPS.digest) is None
    with_nothing.close()


async def test_an_empty_layer_needs_no_request(tmp_path: Path) -> None:
    empty = type(TWO_LAPS)(b"")
    reader = empty.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, empty)
        await layer.prove()
        assert bytes(await layer.read(ByteRange(0, 0))) == b""
        assert reader.requests() == ()
