"""What a layer does with what is known of it: bytes, an index and some bytes, an index, nothing; and with others at its side."""

from pathlib import Path

import pytest
import trio
import trio.testing

from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.errors import BadArchive, CacheUnusable, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Stall
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import ARCHIVE, LARGE, Blob, Everybody, all_given_back, engine_at, layer_of

REFUSED = "model test cannot be kept, its reads go on slower: no room in the cache"


class Nobody(Everybody):
    """Access for a mount that may have nothing of what others fetched."""

    async def allows(self, blob: Descriptor) -> bool:
        return False


async def right(layer: Layer, wanted: ByteRange, blob: Blob = LARGE) -> None:
    """Reads as a file system does."""
    answer = layer.read_now(wanted)
    assert bytes(await layer.read(wanted) if answer is None else answer) == blob.content[wanted.start : wanted.stop]


async def opened(engine: Engine, reader: MemoryReader, blob: Blob = LARGE, *, tar: bool = False) -> Layer:
    layer = layer_of(engine, reader, blob, tar=tar)
    await layer.open()
    return layer


async def evicted(root: Path, blob: Blob = LARGE, *, tar: bool = False) -> None:
    """Leaves a cache that has proven the layer and had to let its bytes go."""
    async with engine_at(root) as engine:
        layer = layer_of(engine, blob.reader(), blob, tar=tar)
        await layer.table()
        await layer.prove()
        layer.close()
        engine.cache.drop(blob.digest)


async def test_after_eviction_only_what_is_wanted_is_fetched(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await evicted(root)
    async with engine_at(root) as engine:
        layer = await opened(engine, reader)
        assert (layer.proven, layer.published, await layer.is_complete()) == (True, False, False)
        await right(layer, ByteRange(9 * MIB + 5, 9 * MIB + 10))
        assert reader.bytes_sent() == MIB
        assert layer.statistics().fetches == 0
    async with engine_at(root) as engine:
        layer = await opened(engine, reader)
        await right(layer, ByteRange(9 * MIB, 10 * MIB))
        assert reader.bytes_sent() == MIB


async def test_after_eviction_the_names_are_known_without_asking(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", ARCHIVE.reader()
    await evicted(root, ARCHIVE, tar=True)
    async with engine_at(root) as engine:
        layer = await opened(engine, reader, ARCHIVE, tar=True)
        table = await layer.table()
        assert table is not None
        assert [entry.path for entry in table] == [b"small", b"large", b"middle", b"last"]
        assert not layer.provisional
        assert reader.requests() == ()
        await right(layer, ARCHIVE.whole, ARCHIVE)
        assert reader.bytes_sent() == ARCHIVE.whole.length


async def test_an_index_without_names_still_proves_them(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", ARCHIVE.reader()
    await evicted(root, ARCHIVE)
    async with engine_at(root) as engine:
        layer = await opened(engine, reader, ARCHIVE, tar=True)
        table = await layer.table()
        assert table is not None
        assert len(table) == 4
        assert not layer.provisional
        assert reader.bytes_sent() < ARCHIVE.whole.length


async def test_what_was_evicted_can_be_filled_again(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await evicted(root)
    async with engine_at(root) as engine:
        layer = await opened(engine, reader)
        await right(layer, ByteRange(0, MIB))
        await layer.fill()
        assert await layer.is_complete()
        assert reader.bytes_sent() == LARGE.whole.length
        await right(layer, LARGE.whole)
        assert reader.bytes_sent() == LARGE.whole.length


@pytest.mark.logs("damaged and will be fetched again")
async def test_a_layer_damaged_while_it_is_read_goes_on_chunk_by_chunk(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    async with engine_at(root) as engine:
        await layer_of(engine, LARGE.reader(), LARGE).prove()
    (file,) = (each for each in root.rglob("*") if each.is_file() and each.stat().st_size == LARGE.whole.length)
    with file.open("r+b") as rotten:
        rotten.seek(6 * MIB)
        rotten.write(b"rot")
    async with engine_at(root) as engine:
        layer = await opened(engine, reader)
        assert layer.published
        await right(layer, ByteRange(6 * MIB, 7 * MIB))
        assert reader.bytes_sent() == MIB
        assert layer.statistics().refetched_chunks == 1
        assert engine.cache.layer(LARGE.digest) is None


@pytest.mark.logs(REFUSED)
@pytest.mark.parametrize("tar", [False, True])
async def test_a_layer_larger_than_the_cache_is_read_in_two_passes(tmp_path: Path, *, tar: bool) -> None:
    root, blob = tmp_path / "cache", ARCHIVE if tar else LARGE
    reader = blob.reader()
    async with engine_at(root, size_limit_bytes=5 * MIB) as engine:
        layer = await opened(engine, reader, blob, tar=tar)
        await layer.table()
        headers = reader.bytes_sent()
        await right(layer, ByteRange(4 * MIB + 2000, 4 * MIB + 2001), blob)
        assert reader.bytes_sent() - headers == blob.whole.length + MIB
        await right(layer, ByteRange(4 * MIB + 2010, 5 * MIB - 600), blob)
        assert reader.bytes_sent() - headers == blob.whole.length + MIB
        await right(layer, blob.whole, blob)
        counts = layer.statistics()
        assert (counts.fetches, counts.published, counts.provisional) == (1, False, False)
        assert counts.refusals >= 1
        await all_given_back(engine)
    async with engine_at(root, size_limit_bytes=64 * MIB) as engine:  # with room, later: what was proven stays proven
        asked = reader.bytes_sent()
        layer = await opened(engine, reader, blob, tar=tar)
        await right(layer, ByteRange(0, 10), blob)
        assert reader.bytes_sent() - asked <= MIB


class Breaking:
    """A staging whose disk fails after the first piece."""

    def __init__(self) -> None:
        self.writes = self.discarded = 0

    def write(self, start: int, data: memoryview) -> None:
        self.writes += 1
        raise CacheUnusable("the cache cannot be written: Input/output error")

    def inherited(self, chunks: range) -> bool:
        return False

    def discard(self) -> None:
        self.discarded += 1


@pytest.mark.logs("its reads go on slower: the cache cannot be written")
async def test_a_disk_that_fails_on_the_way_costs_no_second_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, staging = LARGE.reader(), Breaking()
    async with engine_at(tmp_path / "cache") as engine:
        monkeypatch.setattr(type(engine.cache), "stage", lambda *_, **__: staging)
        layer = await opened(engine, reader)
        await right(layer, ByteRange(0, 10))
        assert reader.bytes_sent() == LARGE.whole.length + MIB
        assert staging.discarded == 1
        assert layer.statistics().fetches == 1


@pytest.mark.logs("does not match its digest", "two fetches brought the same wrong bytes", REFUSED)
async def test_without_room_nothing_wrong_is_believed_either(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), Flip(7)))
    async with engine_at(tmp_path / "cache", size_limit_bytes=0) as engine:
        layer = await opened(engine, reader)
        with pytest.raises(Mismatch):
            await layer.read(ByteRange(10 * MIB, 10 * MIB + 1))
        assert not layer.proven
        assert engine.cache.index(LARGE.digest) is None


async def test_a_server_that_ignores_ranges_gives_an_evicted_layer_whole(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await evicted(root)
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with engine_at(root) as engine:
        layer = await opened(engine, reader)
        await right(layer, ByteRange(9 * MIB, 9 * MIB + 10))
        assert layer.published
        asked = len(reader.requests())
        await right(layer, LARGE.whole)
        assert len(reader.requests()) == asked


@pytest.mark.logs(REFUSED)
async def test_a_server_that_ignores_ranges_and_no_room_are_an_error_that_says_so(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with engine_at(tmp_path / "cache", size_limit_bytes=0) as engine:
        layer = await opened(engine, reader)
        for _ in range(2):
            with pytest.raises(CacheUnusable, match="no room in the cache"):
                await layer.read(ByteRange(0, 10))
        assert layer.statistics().fetches == 1


async def test_two_processes_fetch_a_layer_once(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    gate = Stall(after_bytes=MIB)
    reader.faults.install(Fault(Match(offset=0), gate))
    async with engine_at(root) as one, engine_at(root) as other:
        first, second = await opened(one, reader), await opened(other, reader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(right, first, LARGE.whole)
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(right, second, LARGE.whole)
            await trio.testing.wait_all_tasks_blocked(0.02)
            gate.release()
        assert reader.bytes_sent() == LARGE.whole.length
        assert (first.statistics().fetches, second.statistics().fetches) == (1, 0)
        assert second.published


async def test_what_another_process_fetched_meanwhile_is_only_for_whom_it_is_granted(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    async with engine_at(root) as engine:
        await layer_of(engine, LARGE.reader(), LARGE).prove()
    async with engine_at(root) as engine:
        layer = Layer(engine=engine, reader=reader, access=Nobody(), blob=LARGE.descriptor, label="model test", tar=False)
        await layer.open()
        assert not layer.proven
        await right(layer, ByteRange(0, 10))
        assert reader.bytes_sent() == LARGE.whole.length


async def test_a_process_whose_registry_stands_still_is_overtaken_and_does_no_harm_later(tmp_path: Path) -> None:
    root, reader, stuck = tmp_path / "cache", LARGE.reader(), LARGE.reader()
    gate = Stall(after_bytes=MIB)
    stuck.faults.install(Fault(Match(), gate))
    async with engine_at(root) as stopped, engine_at(root, overtake_seconds=0.5) as engine:
        sleeper, layer = await opened(stopped, stuck), await opened(engine, reader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(right, sleeper, LARGE.whole)
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            await right(layer, LARGE.whole)
            assert reader.bytes_sent() == LARGE.whole.length
            gate.release()
        assert layer.published
        assert sleeper.published
        await right(layer, LARGE.whole)
    assert [each.name for each in (root / "staging").iterdir()] == []


async def test_a_layer_too_small_for_an_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    root, blob = tmp_path / "cache", Blob(b"less than the header of an entry")
    async with engine_at(root) as engine:
        layer = await opened(engine, blob.reader(), blob, tar=True)
        with pytest.raises(BadArchive, match="cut short"):
            await layer.prove(whole=True)
        assert [each.name for each in (root / "staging").iterdir()] == []


async def test_a_reader_that_leaves_lets_the_next_process_have_the_turn(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    held = Stall(after_bytes=MIB)
    reader.faults.install(Fault(Match(offset=0), held, times=1))
    async with engine_at(root) as one, engine_at(root, overtake_seconds=float("inf")) as other:
        first, second = await opened(one, reader), await opened(other, reader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.read, ByteRange(0, 1))
            while not held.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            await right(second, ByteRange(0, 1))


async def test_a_descriptor_that_lies_about_the_size_is_not_served_from_the_cache(tmp_path: Path) -> None:
    root, reader = tmp_path / "cache", LARGE.reader()
    await evicted(root)
    lying = Descriptor("application/octet-stream", LARGE.digest, LARGE.whole.length - 1)
    async with engine_at(root) as engine:
        layer = Layer(engine=engine, reader=reader, access=Everybody(), blob=lying, label="model test", tar=False)
        await layer.open()
        assert not layer.proven


async def test_the_lock_of_a_layer_is_free_after_its_proof(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    async with engine_at(root) as one, engine_at(root) as other:
        ours = one.cache.lock(LARGE.digest)  # open beyond the proof: closing it would free it, too
        await layer_of(one, LARGE.reader(), LARGE).prove()
        assert ours.try_chunk(0)
        assert other.cache.lock(LARGE.digest).try_layer()
