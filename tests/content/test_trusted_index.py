"""A layer whose chunk index came with the artifact: only the chunks wanted, certain names, and never weaker than without."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.archive.tar import TarScanner
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.errors import IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex
from mkfs.proof.grid import grid_of
from mkfs.proof.policy import LayerTrust, Trust
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import ARCHIVE, LARGE, Blob, Everybody, engine_at


class Counting(Everybody):
    """Access that counts what it is asked."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.asked, self._allowed = 0, allowed

    async def allows(self, blob: Descriptor) -> bool:
        self.asked += 1
        return self._allowed


def index_of(blob: Blob, *, tar: bool = False) -> ChunkIndex:
    """What an honest maker of chunk indexes says of `blob`."""
    table = None
    if tar:
        scanner = TarScanner(len(blob.content))
        scanner.feed(0, blob.content)
        table = scanner.table()
    grid = grid_of(table, len(blob.content))
    chunks = (grid.chunk_range(number) for number in range(grid.count))
    digests = b"".join(sha256(blob.content[chunk.start : chunk.stop]).digest() for chunk in chunks)
    return ChunkIndex(blob.digest, grid, digests, table)


def lying_about(index: ChunkIndex, number: int) -> ChunkIndex:
    """`index` with another digest for chunk `number`."""
    digests = bytearray(index.digests)
    digests[number * DIGEST_BYTES] ^= 1
    return ChunkIndex(index.layer, index.grid, bytes(digests), index.table)


def layer_under(
    engine: Engine, reader: MemoryReader, blob: Blob, index: ChunkIndex, access: Everybody | None = None, *, tar: bool = False
) -> Layer:
    return Layer(
        engine=engine,
        reader=reader,
        access=access or Everybody(),
        blob=blob.descriptor,
        label="model test",
        tar=tar,
        trusted=LayerTrust(index, Trust.SIGNED, "signed by a test"),
    )


async def test_only_the_chunk_that_is_wanted_is_fetched_on_the_very_first_read(tmp_path: Path) -> None:
    reader = LARGE.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, LARGE, index_of(LARGE))
        await layer.open()
        wanted = ByteRange(9 * MIB + 5, 9 * MIB + 10)
        assert bytes(await layer.read(wanted)) == LARGE.content[wanted.start : wanted.stop]
        assert [served.range for served in reader.requests()] == [ByteRange(9 * MIB, 10 * MIB)]
        assert layer.trust is Trust.SIGNED


async def test_names_and_sizes_are_certain_at_mount_and_no_header_is_read(tmp_path: Path) -> None:
    reader = ARCHIVE.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, ARCHIVE, index_of(ARCHIVE, tar=True), tar=True)
        await layer.open()
        table = await layer.table()
        assert table is not None
        assert [entry.path for entry in table] == [b"small", b"large", b"middle", b"last"]
        assert not layer.provisional
        assert reader.requests() == ()


async def test_an_index_without_a_table_proves_the_names_by_its_chunks(tmp_path: Path) -> None:
    reader = ARCHIVE.reader()
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, ARCHIVE, index_of(ARCHIVE), tar=True)
        table = await layer.table()
        assert table is not None
        assert len(table) == 4
        assert not layer.provisional
        assert reader.bytes_sent() < ARCHIVE.whole.length


@pytest.mark.logs("do not match their digest", "same wrong bytes")
async def test_a_damaged_chunk_fails_its_readers_and_nobody_else(tmp_path: Path, autojump_clock: MockClock) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), Flip(5 * MIB)))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, LARGE, index_of(LARGE))
        with pytest.raises(Mismatch, match=r"\[5242880, 6291456\)"):
            await layer.read(ByteRange(5 * MIB, 5 * MIB + 1))
        assert bytes(await layer.read(ByteRange(7 * MIB, 7 * MIB + 9))) == LARGE.content[7 * MIB : 7 * MIB + 9]


async def test_what_came_with_the_artifact_becomes_our_own_when_all_of_it_is_verified(tmp_path: Path) -> None:
    reader, passed = LARGE.reader(), 0

    def progress(count: int) -> None:
        nonlocal passed
        passed += count

    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, LARGE, index_of(LARGE))
        await layer.read(ByteRange(0, 10))
        assert engine.cache.index(LARGE.digest) is None
        await layer.verify(progress)
        assert (layer.trust, passed) == (Trust.OWN, LARGE.whole.length)
        assert engine.cache.index(LARGE.digest) is not None
        assert reader.bytes_sent() == LARGE.whole.length
    async with engine_at(tmp_path / "cache") as engine:
        layer = Layer(engine=engine, reader=reader, access=Everybody(), blob=LARGE.descriptor, label="model test", tar=False)
        await layer.open()
        assert bytes(await layer.read(LARGE.whole)) == LARGE.content
        assert reader.bytes_sent() == LARGE.whole.length


async def test_filling_the_cache_proves_the_layer_by_its_own_digest(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, LARGE.reader(), LARGE, index_of(LARGE))
        await layer.fill()
        assert layer.trust is Trust.OWN


@pytest.mark.logs("every chunk is what the chunk index says, but the layer is not")
async def test_an_index_that_fits_other_bytes_than_the_layer_is_found_out_by_verify(tmp_path: Path) -> None:
    """Signed for bytes that the registry does send, while the manifest promises others."""
    forged = Blob(bytes([LARGE.content[0] ^ 1]) + LARGE.content[1:])
    honest = index_of(forged)
    lying = ChunkIndex(LARGE.digest, honest.grid, honest.digests, None)
    reader = MemoryReader({LARGE.digest: forged.content})
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, LARGE, lying)
        assert bytes(await layer.read(ByteRange(0, 1))) == forged.content[:1]  # a trusted index is trusted
        with pytest.raises(IntegrityError, match="the layer is not what its digest says"):
            await layer.verify()
        with pytest.raises(IntegrityError):
            await layer.read(ByteRange(0, 1))
        assert layer.read_now(ByteRange(0, 1)) is None
        assert engine.cache.index(LARGE.digest) is None


@pytest.mark.logs("names or sizes in the chunk index are not those in the layer")
async def test_an_index_with_other_names_than_the_layer_is_found_out_by_verify(tmp_path: Path) -> None:
    honest = index_of(ARCHIVE, tar=True)
    assert honest.table is not None
    table = (replace(honest.table[0], path=b"other"), *honest.table[1:])
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(
            engine, ARCHIVE.reader(), ARCHIVE, ChunkIndex(honest.layer, honest.grid, honest.digests, table), tar=True
        )
        await layer.table()
        assert layer.trust is Trust.SIGNED
        with pytest.raises(IntegrityError, match="names or sizes"):
            await layer.verify()


@pytest.mark.logs("two trusted chunk indexes disagree")
async def test_an_index_that_contradicts_our_own_proof_is_refused_at_mount(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        own = Layer(engine=engine, reader=LARGE.reader(), access=Everybody(), blob=LARGE.descriptor, label="model test", tar=False)
        await own.prove()
        layer = layer_under(engine, LARGE.reader(), LARGE, lying_about(index_of(LARGE), 3))
        with pytest.raises(IntegrityError, match=r"disagree about bytes \[3145728, 4194304\)"):
            await layer.open()


@pytest.mark.logs("two trusted chunk indexes disagree")
async def test_a_small_layer_is_proven_whole_and_a_lie_about_it_found_at_mount(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, LARGE.reader(), LARGE, lying_about(index_of(LARGE), 0))
        await layer.prove(whole=True)
        assert layer.trust is Trust.OWN
        with pytest.raises(IntegrityError, match="disagree"):
            await layer.table()


async def test_without_access_to_the_layer_nothing_of_the_cache_is_served(tmp_path: Path) -> None:
    reader, refused = LARGE.reader(), MemoryReader({})
    async with engine_at(tmp_path / "cache") as engine:
        await layer_under(engine, reader, LARGE, index_of(LARGE)).read(ByteRange(0, 10))
        access = Counting(allowed=False)
        layer = layer_under(engine, refused, LARGE, index_of(LARGE), access)
        await layer.open()
        await layer.table()
        assert (layer.proven, layer.read_now(ByteRange(0, 10)), access.asked) == (False, None, 1)


async def test_a_server_that_ignores_ranges_makes_it_slower_not_weaker(tmp_path: Path) -> None:
    reader = LARGE.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with engine_at(tmp_path / "cache") as engine:
        layer = layer_under(engine, reader, LARGE, index_of(LARGE))
        await layer.open()
        assert bytes(await layer.read(ByteRange(9 * MIB, 9 * MIB + 10))) == LARGE.content[9 * MIB : 9 * MIB + 10]
        assert layer.trust is Trust.OWN
