"""A compressed layer: streamed once, kept as what it decompresses to, and nothing of it seen before its stored bytes are proven."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from mkfs.cache.store import Cache
from mkfs.cache.stored import StoredLayer
from mkfs.content import inflating
from mkfs.content.admission import Urgency
from mkfs.content.engine import Engine
from mkfs.content.inflating import InflatingFetch
from mkfs.errors import BadArchive, CacheUnusable, Mismatch, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.grid import grid_of
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Reset, ShortBody, Stall, Status
from mkfs.testing.sources import MemoryReader
from mkfs.units import GIB, MIB
from tests.support.compressed import GZIPPED, TAR, TWO_LAPS, ZSTANDARD, Packed, packed
from tests.support.layers import engine_at, seeded


def fetch_of(engine: Engine, reader: MemoryReader, layer: Packed, *, tar: bool = True, **options: int) -> InflatingFetch:
    return InflatingFetch(
        engine=engine,
        reader=reader,
        blob=layer.blob.descriptor,
        compression=layer.compression,
        tar=tar,
        fresh=False,
        urgency=lambda: Urgency.DEMAND,
        **options,
    )


def check(stored: StoredLayer, layer: Packed) -> None:
    assert bytes(stored.read(layer.whole)) == layer.content


def leftovers(root: Path) -> list[Path]:
    return list((root / "staging").iterdir())


@pytest.mark.parametrize("layer", [GZIPPED, ZSTANDARD], ids=["gzip", "zstd"])
async def test_one_pass_brings_content_table_index_and_digest(tmp_path: Path, layer: Packed) -> None:
    reader = layer.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        fetch = fetch_of(engine, reader, layer)
        stored = await fetch.run()
        check(stored, layer)
        assert stored.index.diff_id == Digest.of(TAR)
        assert stored.index.table is not None
        assert [entry.path for entry in stored.index.table] == [b"small", b"large", b"middle", b"last"]
        assert (stored.index.layer, stored.index.compression) == (layer.blob.digest, layer.compression)
        assert stored.index.stored_bytes == len(layer.blob.content)
        assert stored.index.grid == grid_of(stored.index.table, len(TAR))
        assert (reader.bytes_sent(), fetch.whole.received_bytes) == (len(layer.blob.content),) * 2
        assert engine.buffers.lent == 0
    assert leftovers(tmp_path / "cache") == []
    published = tmp_path / "cache" / "layers" / "sha256" / layer.blob.digest.hex
    assert sorted(path.name for path in published.iterdir()) == ["1", "2", "index", "rest"]


@pytest.mark.parametrize("size_bytes", [0, 1, MIB - 1, MIB, 3 * MIB + 1])
async def test_one_file_is_kept_as_a_layer_of_one_file(tmp_path: Path, size_bytes: int) -> None:
    layer = packed(seeded(5, size_bytes), "zstd")
    async with engine_at(tmp_path / "cache") as engine:
        stored = await fetch_of(engine, layer.blob.reader(), layer, tar=False).run()
        check(stored, layer)
        assert stored.index.grid == grid_of(None, size_bytes)


async def test_an_empty_file_as_kit_stores_it_needs_no_request(tmp_path: Path) -> None:
    layer = packed(b"", "zstd", cut_bytes=9)
    assert layer.blob.content == b""
    reader = layer.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        check(await fetch_of(engine, reader, layer, tar=False).run(), layer)
    assert reader.requests() == ()


async def test_laps_come_from_two_streams_and_broken_ones_go_on_from_the_last_good_byte(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    reader = TWO_LAPS.blob.reader()
    reader.faults.install(Fault(Match(offset=0), ShortBody(MIB), times=1))
    reader.faults.install(Fault(Match(offset=9 * MIB), Reset(2 * MIB), times=1))
    reader.faults.install(Fault(Match(offset=35 * MIB), Status(503), times=3))
    async with engine_at(tmp_path / "cache") as engine:
        check(await fetch_of(engine, reader, TWO_LAPS, tar=False).run(), TWO_LAPS)
        assert engine.buffers.lent == 0
    assert reader.bytes_sent() == len(TWO_LAPS.blob.content) + 4  # four: the size, from the end


async def test_a_server_that_ignores_ranges_is_read_as_one_stream(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = TWO_LAPS.blob.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with engine_at(tmp_path / "cache") as engine:
        check(await fetch_of(engine, reader, TWO_LAPS, tar=False).run(), TWO_LAPS)
        assert engine.buffers.lent == 0
    assert leftovers(tmp_path / "cache") == []


async def test_bytes_that_come_anew_are_decompressed_anew(tmp_path: Path) -> None:
    """A server that begins to ignore ranges when the first bytes are decompressed already."""
    reader = TWO_LAPS.blob.reader()
    reader.faults.install(Fault(Match(offset=33 * MIB), IgnoreRange()))

    class Waiting:
        @asynccontextmanager
        async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator[object, None]:
            while wanted.start == 32 * MIB and not fetch._inflation.staging.size_bytes:
                await trio.lowlevel.checkpoint()
            async with reader.open_range(blob, wanted, fresh=fresh) as stream:
                yield stream

    async with engine_at(tmp_path / "cache") as engine:
        fetch = fetch_of(engine, Waiting(), TWO_LAPS, tar=False)
        check(await fetch.run(), TWO_LAPS)
    assert reader.bytes_sent() > len(TWO_LAPS.blob.content) + 8 * MIB
    assert leftovers(tmp_path / "cache") == []


async def test_nothing_is_readable_before_the_last_stored_byte_is_proven(tmp_path: Path) -> None:
    reader = TWO_LAPS.blob.reader()
    last = Stall(after_bytes=1000)
    reader.faults.install(Fault(Match(offset=len(TWO_LAPS.blob.content) - 5), last))
    async with engine_at(tmp_path / "cache") as engine, trio.open_nursery() as nursery:
        nursery.start_soon(fetch_of(engine, reader, TWO_LAPS, tar=False).run)
        with trio.fail_after(20):
            while not last.gate.waiting:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert engine.cache.layer(TWO_LAPS.blob.digest) is None
        last.release()
    cache = Cache.open(tmp_path / "cache")
    assert cache.layer(TWO_LAPS.blob.digest) is not None
    cache.close()


@pytest.mark.parametrize("offset", [0, 1000, 3 * MIB, -6, -2])
@pytest.mark.parametrize("layer", [GZIPPED, ZSTANDARD], ids=["gzip", "zstd"])
async def test_wrong_bytes_are_a_mismatch_wherever_the_codec_stumbled_over_them(tmp_path: Path, layer: Packed, offset: int) -> None:
    reader = layer.blob.reader()
    reader.faults.install(Fault(Match(), Flip(offset % len(layer.blob.content))))
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(Mismatch, match=layer.blob.digest.hex):
            await fetch_of(engine, reader, layer).run()
        assert engine.cache.layer(layer.blob.digest) is None
        assert engine.cache.index(layer.blob.digest) is None
    assert leftovers(tmp_path / "cache") == []


BROKEN = {
    "cut short": (packed(TAR, cut_bytes=3), "gzip data is cut short"),
    "something behind it": (packed(TAR, behind=bytes(10_240)), "something else follows the gzip data"),
    "another format": (Packed(TAR, ZSTANDARD.blob, "gzip"), "not gzip data: it looks like zstd"),
    "no tar in it": (packed(b"no tar" * 1000), "checksum is not a number"),
    "a tar that is cut short": (packed(TAR[: 3 * MIB], "zstd"), "content ends past the end of the layer"),
}


@pytest.mark.parametrize(("layer", "what"), BROKEN.values(), ids=BROKEN)
async def test_right_bytes_that_are_not_what_they_are_said_to_be(tmp_path: Path, layer: Packed, what: str) -> None:
    reader = layer.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(BadArchive, match=what) as caught:
            await fetch_of(engine, reader, layer).run()
        assert str(layer.blob.digest) in caught.value.where
        assert engine.cache.layer(layer.blob.digest) is None
    assert reader.bytes_sent() == len(layer.blob.content)
    assert leftovers(tmp_path / "cache") == []


async def test_more_content_than_the_artifact_says_is_refused(tmp_path: Path) -> None:
    layer = packed(bytes(64 * MIB))
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(BadArchive, match=r"decompresses to more than 2\.0 MiB"):
            await fetch_of(engine, layer.blob.reader(), layer, tar=False, size_bytes=2 * MIB).run()
        check(await fetch_of(engine, layer.blob.reader(), layer, tar=False, size_bytes=64 * MIB).run(), layer)


async def test_a_bomb_ends_at_the_limit_and_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer that holds 200 MiB of zeros does not keep a thread for as long as they take."""
    layer = packed(bytes(200 * MIB))
    turns = []
    turn = inflating.Inflation.turn

    def counting(self: inflating.Inflation, pieces) -> bool:
        before = self._decompressor.content_bytes
        more = turn(self, pieces)
        turns.append(self._decompressor.content_bytes - before)
        return more

    monkeypatch.setattr(inflating.Inflation, "turn", counting)
    monkeypatch.setattr(inflating, "content_limit", lambda stored_bytes: 100 * MIB)
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(BadArchive, match=r"decompresses to more than 100\.0 MiB"):
            await fetch_of(engine, layer.blob.reader(), layer, tar=False).run()
    assert len(turns) > 10
    assert max(turns) <= 9 * MIB


async def test_what_cannot_fit_is_refused_before_it_is_fetched_where_its_end_says_so(tmp_path: Path) -> None:
    reader = TWO_LAPS.blob.reader()
    async with engine_at(tmp_path / "cache", size_limit_bytes=20 * MIB) as engine:
        with pytest.raises(CacheUnusable, match=r"a layer decompresses to 40\.0 MiB at least") as caught:
            await fetch_of(engine, reader, TWO_LAPS, tar=False).run()
        assert caught.value.exit_code == 23
        assert engine.buffers.lent == 0
    assert reader.bytes_sent() == 4
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.parametrize("options", [{"size_bytes": 40 * MIB + 777}, {"expected_bytes": 40 * MIB + 777}])
async def test_nor_where_the_artifact_or_an_earlier_proof_says_so(tmp_path: Path, options: dict[str, int]) -> None:
    reader = TWO_LAPS.blob.reader()
    async with engine_at(tmp_path / "cache", size_limit_bytes=20 * MIB) as engine:
        with pytest.raises(CacheUnusable, match=r"decompresses to 40\.0 MiB at least"):
            await fetch_of(engine, reader, TWO_LAPS, tar=False, **options).run()
    assert reader.requests() == ()


async def test_what_turns_out_too_large_on_the_way_ends_there(tmp_path: Path) -> None:
    layer = packed(bytes(30 * MIB))
    async with engine_at(tmp_path / "cache", size_limit_bytes=10 * MIB) as engine:
        with pytest.raises(CacheUnusable, match=r"decompresses to .* at least"):
            await fetch_of(engine, layer.blob.reader(), layer, tar=False).run()
        assert engine.buffers.lent == 0
    assert leftovers(tmp_path / "cache") == []


async def test_a_frame_that_says_its_size_is_believed_far_enough_to_ask_for_room(tmp_path: Path) -> None:
    layer = packed(bytes(30 * MIB), "zstd")
    async with engine_at(tmp_path / "cache", size_limit_bytes=10 * MIB) as engine:
        with pytest.raises(CacheUnusable, match=r"decompresses to 30\.0 MiB at least"):
            await fetch_of(engine, layer.blob.reader(), layer, tar=False).run()


async def test_a_dead_registry_and_a_reader_who_leaves_leave_nothing_behind(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = TWO_LAPS.blob.reader()
    reader.faults.install(Fault(Match(offset=35 * MIB), Status(503)))
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(Unreachable):
            await fetch_of(engine, reader, TWO_LAPS, tar=False).run()
        with trio.move_on_after(5) as leaving:
            await fetch_of(engine, reader, TWO_LAPS, tar=False).run()
        assert leaving.cancelled_caught
        assert engine.buffers.lent == 0
        assert engine.cache.layer(TWO_LAPS.blob.digest) is None
    assert leftovers(tmp_path / "cache") == []


def test_the_limits_are_what_the_documents_say() -> None:
    assert inflating.content_limit(1) == GIB
    assert ByteRange(0, inflating.BLOCK_BYTES).length >= MIB
