"""A whole fetch that breaks off is gone on with, by whoever wants the layer next and may have it; nothing of it is believed."""

import threading
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mkfs.cache.staging import Staging
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.content.patience import ABSENCE_SECONDS
from mkfs.errors import CacheUnusable, Mismatch, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Reset, Stall
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.cache.material import flip, names
from tests.support.layers import ARCHIVE, LARGE, TWO_LAPS, Blob, Everybody, engine_at, layer_of

RUN_BYTES = 8 * MIB


async def broken_off(root: Path, blob: Blob = LARGE, *, after: int = 12 * MIB, more: int = 0, tar: bool = False) -> None:
    """A reader that leaves when so much of the layer has come, and so much `more` by other requests than the first."""
    reader, stall = blob.reader(), Stall(after_bytes=after)
    reader.faults.install(Fault(Match(offset=0), stall))
    async with engine_at(root) as engine:
        await leaves(layer_of(engine, reader, blob, tar=tar), stall, after + more)
    assert engine.buffers.lent == 0


async def leaves(layer: Layer, stall: Stall, received_bytes: int) -> None:
    """The same, of a layer that is there."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(layer.read, ByteRange(0, 1))
        while not stall.gate.waiting:
            await trio.lowlevel.checkpoint()
        while layer.statistics().received_bytes < received_bytes:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def right(engine: Engine, reader: MemoryReader, blob: Blob = LARGE, *, tar: bool = False) -> Layer:
    layer = layer_of(engine, reader, blob, tar=tar)
    await layer.open()
    assert bytes(await layer.read(blob.whole)) == blob.content
    assert engine.buffers.lent == 0
    return layer


async def test_the_next_reader_fetches_what_is_missing(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)
    async with engine_at(root) as engine:
        layer = await right(engine, reader)
        assert layer.published
        assert reader.bytes_sent() == LARGE.whole.length - RUN_BYTES
    assert names(root / "staging") == []


async def test_so_does_the_next_reader_of_the_same_process(tmp_path: Path) -> None:
    reader, stall = LARGE.reader(), Stall(after_bytes=12 * MIB)
    fault = reader.faults.install(Fault(Match(offset=0), stall))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, LARGE)
        await leaves(layer, stall, 12 * MIB)
        reader.faults.mend(fault)
        before = reader.bytes_sent()
        assert bytes(await layer.read(LARGE.whole)) == LARGE.content
        assert reader.bytes_sent() - before == LARGE.whole.length - RUN_BYTES


async def test_who_comes_while_the_last_reader_is_on_his_way_out_has_the_turn_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, reader, stall, go_on = tmp_path / "cache", LARGE.reader(), Stall(after_bytes=MIB), threading.Event()
    reader.faults.install(Fault(Match(), stall))
    leave = Staging.leave

    def leave_slowly(staging: Staging) -> None:
        go_on.wait()
        leave(staging)

    monkeypatch.setattr(Staging, "leave", leave_slowly)
    async with engine_at(root) as engine, engine_at(root) as other, trio.open_nursery() as nursery:
        layer, first = layer_of(engine, reader, LARGE), trio.CancelScope()

        async def read_and_leave() -> None:
            with first:
                await layer.read(ByteRange(0, 1))

        nursery.start_soon(read_and_leave)
        while not stall.gate.waiting:
            await trio.lowlevel.checkpoint()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(layer.read, LARGE.whole)
        await trio.testing.wait_all_tasks_blocked(0.05)
        go_on.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        while not stall.gate.waiting:
            await trio.lowlevel.checkpoint()
        assert not other.cache.lock(LARGE.digest).try_layer()
        stall.release()


async def test_a_tar_is_scanned_anew_from_its_first_byte(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", ARCHIVE.reader()
    await broken_off(root, ARCHIVE, after=10 * MIB)
    async with engine_at(root) as engine:
        layer = await right(engine, reader, ARCHIVE, tar=True)
        table = await layer.table()
        assert table is not None
        assert [entry.path for entry in table] == [b"small", b"large", b"middle", b"last"]


async def test_what_another_request_brought_is_kept_as_well(tmp_path: Path) -> None:
    """The second request of a fetch goes on while the first one hangs."""
    root, reader = tmp_path / "cache", TWO_LAPS.reader()
    tail_bytes = TWO_LAPS.whole.length - 4 * RUN_BYTES
    await broken_off(root, TWO_LAPS, after=9 * MIB, more=tail_bytes)
    async with engine_at(root) as engine:
        await right(engine, reader, TWO_LAPS)
    assert [served.range for served in reader.requests()] == [ByteRange(RUN_BYTES, 4 * RUN_BYTES)]


async def test_when_the_registry_went_away_it_is_gone_on_with_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    first = reader.faults.install(Fault(Match(offset=0), Reset(after_bytes=9 * MIB), times=1))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_of(engine, reader, LARGE)
        gone = reader.faults.install(Fault(Match(nth=2), Reset(after_bytes=0)))
        with pytest.raises(Unreachable):
            await layer.read(ByteRange(0, 1))
        await trio.sleep(ABSENCE_SECONDS)
        for fault in (first, gone):
            reader.faults.mend(fault)
        before = reader.bytes_sent()
        assert bytes(await layer.read(LARGE.whole)) == LARGE.content
        assert reader.bytes_sent() - before == LARGE.whole.length - RUN_BYTES


async def test_what_was_left_wrong_costs_a_fetch_and_is_no_verdict(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)
    (entry,) = (root / "staging").iterdir()
    flip(entry / "1", 3 * MIB)
    async with engine_at(root) as engine:
        layer = await right(engine, reader)
        assert layer.published
        assert layer.statistics().fetches == 2
    assert reader.bytes_sent() == 2 * LARGE.whole.length - RUN_BYTES
    assert names(root / "staging") == []


@pytest.mark.logs("does not match its digest; fetching it again past all caches", "two fetches brought the same wrong bytes")
async def test_a_damaged_registry_is_judged_by_fetches_of_all_bytes(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)
    reader.faults.install(Fault(Match(), Flip(15 * MIB)))
    async with engine_at(root) as engine:
        with pytest.raises(Mismatch, match="two fetches brought the same wrong bytes"):
            await layer_of(engine, reader, LARGE).read(ByteRange(0, 1))
    assert names(root / "staging") == []


class Stranger(Everybody):
    """Access for a mount that may have nothing of what others received."""

    async def allows(self, blob: Descriptor) -> bool:
        return False


async def test_who_may_not_have_the_layer_does_not_go_on_with_it(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)
    async with engine_at(root) as engine:
        layer = Layer(engine=engine, reader=reader, access=Stranger(), blob=LARGE.descriptor, label="model test", tar=False)
        assert bytes(await layer.read(LARGE.whole)) == LARGE.content
    assert reader.bytes_sent() == LARGE.whole.length


async def test_a_server_that_ignores_ranges_sends_all_of_it(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with engine_at(root) as engine:
        assert (await right(engine, reader)).published
    assert names(root / "staging") == []


async def test_what_the_disk_lost_meanwhile_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await broken_off(root)

    def lost(*_: object) -> None:
        raise CacheUnusable("the cache cannot be written: Input/output error")

    monkeypatch.setattr(Staging, "read", lost)
    async with engine_at(root) as engine:
        assert (await right(engine, reader)).published
    assert reader.bytes_sent() == LARGE.whole.length
