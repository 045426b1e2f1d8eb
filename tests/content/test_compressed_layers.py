"""Layers that are compressed: streamed when they must be and not before, once, and read as any other layer from then on."""

from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from mkfs.archive.tar import TarScanner
from mkfs.content.engine import INFLATING_LAYERS, Engine
from mkfs.content.layer import Layer
from mkfs.content.patience import FIRST_VERDICT_SECONDS
from mkfs.errors import BadArchive, CacheUnusable, IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import grid_of
from mkfs.proof.policy import LayerTrust, Trust
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, Match, Stall
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.compressed import FILES, GZIPPED, TAR, TWO_LAPS, ZSTANDARD, Packed, packed
from tests.support.layers import Blob, Everybody, engine_at, seeded

NAMES = [name.encode() for name in FILES]
STORED_BYTES = len(GZIPPED.blob.content)


def layer_of(
    engine: Engine,
    reader: MemoryReader,
    layer: Packed = GZIPPED,
    *,
    tar: bool = True,
    access: Everybody | None = None,
    trusted: ChunkIndex | None = None,
    deferred: bool = False,
) -> Layer:
    return Layer(
        engine=engine,
        reader=reader,
        access=access or Everybody(),
        blob=layer.blob.descriptor,
        label="model test",
        tar=tar,
        compression=layer.compression,
        trusted=None if trusted is None else LayerTrust(trusted, Trust.SIGNED, "signed by a test"),
        deferred=deferred,
    )


async def opened(engine: Engine, reader: MemoryReader, layer: Packed = GZIPPED, **options: object) -> Layer:
    opened = layer_of(engine, reader, layer, **options)
    await opened.open()
    return opened


async def right(opened: Layer, wanted: ByteRange, layer: Packed = GZIPPED) -> None:
    """Reads as a file system does."""
    answer = opened.read_now(wanted)
    assert bytes(await opened.read(wanted) if answer is None else answer) == layer.content[wanted.start : wanted.stop]


async def evicted(root: Path, layer: Packed = GZIPPED, *, tar: bool = True) -> None:
    """Leaves a cache that has proven the layer and had to let its bytes go."""
    async with engine_at(root) as engine:
        gone = layer_of(engine, layer.blob.reader(), layer, tar=tar)
        await gone.prove()
        gone.close()
        engine.cache.drop(layer.blob.digest)


def index_of(layer: Packed = GZIPPED) -> ChunkIndex:
    """What an honest maker of chunk indexes says of a tar."""
    scanner = TarScanner(len(layer.content))
    scanner.feed(0, layer.content)
    grid = grid_of(scanner.table(), len(layer.content))
    digests = digests_of(grid, range(grid.count), memoryview(layer.content))
    stored_bytes = len(layer.blob.content)
    return ChunkIndex(layer.blob.digest, grid, digests, scanner.table(), compression=layer.compression, stored_bytes=stored_bytes)


def paths(table: object) -> list[bytes]:
    return [entry.path for entry in table]  # type: ignore[attr-defined]  # a table


@pytest.mark.parametrize("layer", [GZIPPED, ZSTANDARD], ids=["gzip", "zstd"])
async def test_asking_for_the_names_streams_it_once_and_reads_cost_nothing_then(tmp_path: Path, layer: Packed) -> None:
    reader = layer.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, reader, layer)
        assert (new.proven, new.published, new.content_bytes, new.diff_id) == (False, False, None, None)
        assert paths(await new.table()) == NAMES
        assert (new.proven, new.published, new.provisional, new.trust) == (True, True, False, Trust.OWN)
        assert (new.content_bytes, new.diff_id) == (len(TAR), Digest.of(TAR))
        for wanted in (ByteRange(5, 10), ByteRange(MIB - 3, 3 * MIB + 1), layer.whole):
            await right(new, wanted, layer)
        assert reader.bytes_sent() == len(layer.blob.content)
        assert new.statistics().fetches == 1
    reader = layer.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, reader, layer)
        assert (again.published, await again.is_complete()) == (True, True)
        assert paths(await again.table()) == NAMES
        await right(again, layer.whole, layer)
        assert reader.requests() == ()


async def test_one_file_is_streamed_for_its_size(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, TWO_LAPS.blob.reader(), TWO_LAPS, tar=False)
        assert await new.table() is None
        assert new.content_bytes == len(TWO_LAPS.content)
        await right(new, ByteRange(39 * MIB, 40 * MIB + 777), TWO_LAPS)


async def test_many_readers_at_once_stream_it_once(tmp_path: Path) -> None:
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, reader)
        async with trio.open_nursery() as nursery:
            for wanted in GZIPPED.whole.pieces(MIB // 2):
                nursery.start_soon(right, new, wanted)
    assert reader.bytes_sent() == STORED_BYTES


async def test_after_eviction_the_names_are_known_and_the_first_read_streams_it_again(tmp_path: Path) -> None:
    await evicted(tmp_path / "cache")
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, reader)
        assert paths(await again.table()) == NAMES
        assert (again.content_bytes, again.provisional, again.proven) == (len(TAR), False, False)
        assert not await again.is_complete()
        assert reader.requests() == ()
        await right(again, ByteRange(3 * MIB, 3 * MIB + 5))
        assert again.published
    assert reader.bytes_sent() == STORED_BYTES


async def test_what_was_evicted_and_has_no_room_any_more_says_how_much_it_needs(tmp_path: Path) -> None:
    await evicted(tmp_path / "cache")
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache", size_limit_bytes=3 * MIB) as engine:
        again = await opened(engine, reader)
        assert paths(await again.table()) == NAMES
        for _ in range(2):
            with pytest.raises(CacheUnusable, match=r"no room in the cache: a layer decompresses to 7\.9 MiB at least"):
                await again.read(ByteRange(0, 1))
    assert reader.requests() == ()


async def test_what_has_no_room_when_its_names_are_wanted_fails_with_what_it_needs(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache", size_limit_bytes=3 * MIB) as engine:
        new = await opened(engine, GZIPPED.blob.reader())
        with pytest.raises(CacheUnusable, match=r"decompresses to [0-9.]+ MiB at least") as caught:
            await new.table()
        assert caught.value.exit_code == 23


@pytest.mark.logs("damaged and will be fetched again")
async def test_bytes_that_rot_on_our_disk_are_streamed_again(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, GZIPPED.blob.reader()).prove()
    stored = tmp_path / "cache" / "layers" / "sha256" / GZIPPED.blob.digest.hex / "1"
    with stored.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"rot")
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, reader)
        await again.table()
        await right(again, ByteRange(0, 600))
        assert reader.requests() == ()
        gate = Stall()
        reader.faults.install(Fault(Match(), gate, times=1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(right, again, GZIPPED.whole)
            with trio.fail_after(20):
                while not gate.gate.waiting:
                    await trio.lowlevel.checkpoint()
            assert not list((tmp_path / "cache").glob("*/sha256/" + GZIPPED.blob.digest.hex + "/1")), "its room is needed"
            gate.release()
        assert again.statistics().refetched_chunks == 1
    assert reader.bytes_sent() == STORED_BYTES


@pytest.mark.logs("does not match its digest", "two fetches brought the same wrong bytes")
async def test_a_damaged_blob_is_refused_for_a_minute_and_served_once_it_is_mended(tmp_path: Path, mock_clock: MockClock) -> None:
    reader = GZIPPED.blob.reader()
    fault = reader.faults.install(Fault(Match(), Flip(STORED_BYTES // 2)))
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, reader)
        with pytest.raises(Mismatch) as caught:
            await new.table()
        assert GZIPPED.blob.digest.hex in caught.value.what
        asked = len(reader.requests())
        reader.faults.mend(fault)
        with pytest.raises(Mismatch):
            await new.read(ByteRange(0, 1))
        assert len(reader.requests()) == asked
        mock_clock.jump(FIRST_VERDICT_SECONDS)
        await right(new, GZIPPED.whole)


@pytest.mark.logs("does not match its digest")
async def test_a_bit_flipped_on_the_way_is_fetched_again_past_all_caches(tmp_path: Path) -> None:
    reader = GZIPPED.blob.reader()
    reader.faults.install(Fault(Match(), Flip(3), times=1))
    async with engine_at(tmp_path / "cache") as engine:
        await right(await opened(engine, reader), GZIPPED.whole)
    assert reader.bytes_sent() == 2 * STORED_BYTES


async def test_a_layer_that_is_not_what_it_is_said_to_be_is_named(tmp_path: Path) -> None:
    layer = packed(TAR, cut_bytes=7)
    async with engine_at(tmp_path / "cache") as engine:
        with pytest.raises(BadArchive, match="cut short") as caught:
            await (await opened(engine, layer.blob.reader(), layer)).table()
        assert caught.value.where.startswith("model test, near byte")


async def test_a_trusted_index_names_what_is_in_it_and_the_first_read_streams_it(tmp_path: Path) -> None:
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, reader, trusted=index_of())
        assert paths(await new.table()) == NAMES
        assert new.content_bytes == len(TAR)
        assert reader.requests() == ()
        await right(new, ByteRange(0, 5))
        assert new.trust is Trust.OWN
    assert reader.bytes_sent() == STORED_BYTES


@pytest.mark.logs("names or sizes shown at mount are not what the layer proves", "disagree about the entries")
async def test_a_trusted_index_that_lies_about_names_is_found_out(tmp_path: Path) -> None:
    other = TAR.replace(b"middle", b"muddle").replace(_checksum(b"middle"), _checksum(b"muddle"))
    lying = index_of(Packed(other, GZIPPED.blob, "gzip"))
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, GZIPPED.blob.reader(), trusted=lying)
        assert paths(await new.table()) == [b"small", b"large", b"muddle", b"last"]
        for _ in range(2):
            with pytest.raises(IntegrityError, match=r"names or sizes|disagree"):
                await new.read(ByteRange(0, 5))


def _checksum(name: bytes) -> bytes:
    """The checksum in the header of entry `name`, which tells it from those of the same letters."""
    header = TAR[TAR.index(b"middle") :][:512].replace(b"middle", name)
    total = sum(header) - sum(header[148:156]) + 8 * 32
    return b"%06o\0 " % total


async def test_the_blob_as_a_plain_file_is_not_taken_for_what_it_decompresses_to(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        blob, reader = GZIPPED.blob, GZIPPED.blob.reader()
        plain = Layer(engine=engine, reader=reader, access=Everybody(), blob=blob.descriptor, label="plain", tar=False)
        await plain.open()
        assert bytes(await plain.read(blob.whole)) == blob.content
        new = await opened(engine, reader)
        assert (new.published, new.content_bytes) == (False, None)
        await right(new, GZIPPED.whole)
        assert bytes(await plain.read(ByteRange(0, 5))) == blob.content[:5]


@pytest.mark.parametrize("compressed_first", [True, False])
async def test_each_form_of_a_blob_is_found_only_by_who_wants_it(tmp_path: Path, *, compressed_first: bool) -> None:
    blob = GZIPPED.blob

    async def as_file(engine: Engine, reader: MemoryReader) -> None:
        plain = Layer(engine=engine, reader=reader, access=Everybody(), blob=blob.descriptor, label="plain", tar=False)
        await plain.open()
        assert bytes(await plain.read(blob.whole)) == blob.content

    async def as_archive(engine: Engine, reader: MemoryReader) -> None:
        await right(await opened(engine, reader), GZIPPED.whole)

    for look in (as_archive, as_file) if compressed_first else (as_file, as_archive):
        reader = blob.reader()
        async with engine_at(tmp_path / "cache") as engine:
            await look(engine, reader)
        assert reader.bytes_sent() == STORED_BYTES


async def test_the_same_archive_kept_as_one_file_is_read_as_an_archive(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, GZIPPED.blob.reader(), tar=False).prove()
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        assert paths(await (await opened(engine, reader)).table()) == NAMES
    assert reader.requests() == ()


async def test_nor_does_an_index_without_names_spare_the_streaming(tmp_path: Path) -> None:
    await evicted(tmp_path / "cache", tar=False)
    reader = GZIPPED.blob.reader()
    async with engine_at(tmp_path / "cache") as engine:
        assert paths(await (await opened(engine, reader)).table()) == NAMES
    assert reader.bytes_sent() == STORED_BYTES


async def test_a_mount_that_may_not_have_it_gets_neither_names_nor_bytes_from_the_cache(tmp_path: Path) -> None:
    class Nobody(Everybody):
        async def allows(self, blob: Descriptor) -> bool:
            return False

    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, GZIPPED.blob.reader()).prove()
    await evicted(tmp_path / "other")
    for root in (tmp_path / "cache", tmp_path / "other"):
        async with engine_at(root) as engine:
            strange = await opened(engine, GZIPPED.blob.reader(), access=Nobody(), trusted=index_of())
            assert (strange.published, strange.content_bytes) == (False, None)


async def test_reads_wait_for_the_proof_even_where_they_were_asked_not_to(tmp_path: Path) -> None:
    await evicted(tmp_path / "cache")
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, GZIPPED.blob.reader(), deferred=True)
        assert again.trust is Trust.LAYER
        await right(again, ByteRange(0, 5))
        assert again.trust is Trust.OWN


async def test_filling_and_verifying_keep_it_and_hash_all_of_it(tmp_path: Path) -> None:
    reader, seen = GZIPPED.blob.reader(), []
    async with engine_at(tmp_path / "cache") as engine:
        new = await opened(engine, reader)
        await new.fill()
        assert await new.is_complete()
        await new.verify(seen.append)
        assert sum(seen) == STORED_BYTES
        assert len(seen) == index_of().grid.count
    assert reader.bytes_sent() == STORED_BYTES
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, reader)
        assert again.diff_id == Digest.of(TAR)
        await again.verify()
        assert again.diff_id == Digest.of(TAR)
    assert reader.bytes_sent() == STORED_BYTES


async def test_verifying_what_is_not_here_streams_it(tmp_path: Path) -> None:
    await evicted(tmp_path / "cache")
    reader, seen = GZIPPED.blob.reader(), []
    async with engine_at(tmp_path / "cache") as engine:
        again = await opened(engine, reader)
        await again.verify(seen.append)
        assert again.published
    assert (sum(seen), reader.bytes_sent()) == (STORED_BYTES, STORED_BYTES)


async def test_only_a_few_are_streamed_at_once(tmp_path: Path) -> None:
    layers = [packed(seeded(seed, 2000), "zstd") for seed in range(INFLATING_LAYERS + 3)]
    reader = MemoryReader({layer.blob.digest: layer.blob.content for layer in layers})
    gate = Stall()
    reader.faults.install(Fault(Match(), gate))
    async with engine_at(tmp_path / "cache") as engine:
        async with trio.open_nursery() as nursery:
            for layer in layers:
                nursery.start_soon(layer_of(engine, reader, layer, tar=False).prove)
            with trio.fail_after(20):
                while gate.gate.waiting < INFLATING_LAYERS:
                    await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(reader.requests()) == INFLATING_LAYERS
            gate.release()
        assert len(reader.requests()) == len(layers)


async def test_two_processes_stream_it_once(tmp_path: Path) -> None:
    reader = GZIPPED.blob.reader()
    gate = Stall()
    reader.faults.install(Fault(Match(), gate, times=1))
    async with engine_at(tmp_path / "cache") as one, engine_at(tmp_path / "cache") as two, trio.open_nursery() as nursery:
        for engine in (one, two):
            nursery.start_soon(layer_of(engine, reader).table)
        with trio.fail_after(20):
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
        gate.release()
    assert reader.bytes_sent() == STORED_BYTES


def test_the_blob_of_these_tests_is_compressed() -> None:
    assert isinstance(GZIPPED.blob, Blob)
    assert len(TAR) - 2 * MIB > STORED_BYTES
