"""Under any chunk index that is trusted, a read gives the original bytes or an error: for random layers, tilings, damage, lies and
orders of reading.
"""

from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mkfs.archive.tar import TarScanner
from mkfs.content.layer import Layer
from mkfs.errors import IntegrityError
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex, digests_of
from mkfs.proof.grid import Grid, Segment, grid_of
from mkfs.proof.policy import LayerTrust, Trust
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.units import MIB
from tests.support.layers import Blob, Everybody, engine_at, seeded, tar_of

# Around the borders that matter: nothing, one byte, a tar block, a chunk.
SIZES = st.sampled_from([0, 1, 511, 512, MIB - 1, MIB, MIB + 1, 2 * MIB + 512])


@dataclass(frozen=True)
class Case:
    """A layer, the chunk index that is believed of it, and what is wrong: bytes at the registry, digests in the index."""

    blob: Blob = field(repr=False)
    index: ChunkIndex
    tar: bool
    damage: frozenset[int]
    lies: frozenset[int]

    def bad_chunks(self) -> frozenset[int]:
        return self.lies | {self.index.grid.chunk_at(offset) for offset in self.damage}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sizes = draw(st.lists(SIZES, min_size=1, max_size=4))
    tar = draw(st.booleans())
    contents = [seeded(number, size) for number, size in enumerate(sizes, 1)]
    blob = Blob(
        tar_of({f"{number}.bin": content for number, content in enumerate(contents)}) if tar else b"".join(contents) or b"x"
    )
    size_bytes, table = len(blob.content), None
    if tar:
        scanner = TarScanner(size_bytes)
        scanner.feed(0, blob.content)
        table = scanner.table()
    grid = draw(st.one_of(st.just(grid_of(table, size_bytes)), tilings(size_bytes)))
    digests = bytearray(digests_of(grid, range(grid.count), memoryview(blob.content)))
    lies = draw(st.frozensets(st.integers(0, grid.count - 1), max_size=2))
    for number in lies:
        digests[number * DIGEST_BYTES] ^= 1
    damage = draw(st.frozensets(st.integers(0, size_bytes - 1), max_size=2))
    return Case(blob, ChunkIndex(blob.digest, grid, bytes(digests), table), tar, damage, lies)


@st.composite
def tilings(draw: st.DrawFn, size_bytes: int) -> Grid:
    """Any cut of the layer into stored files, in any order of files."""
    borders = sorted(draw(st.sets(st.integers(1, max(1, size_bytes - 1)), max_size=3)) - {size_bytes})
    filled: dict[int, int] = {}
    segments = []
    for start, stop in zip([0, *borders], [*borders, size_bytes], strict=True):
        file = draw(st.integers(0, 2))
        segments.append(Segment(ByteRange(start, stop), file, filled.get(file, 0)))
        filled[file] = filled.get(file, 0) + stop - start
    return Grid(size_bytes, segments)


@pytest.mark.logs("do not match their digest")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases(), data=st.data())
async def test_a_read_gives_the_original_bytes_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, autojump_clock: MockClock, case: Case, data: st.DataObject
) -> None:
    whole = case.blob.whole
    offsets = st.integers(0, whole.stop)
    ranges = st.tuples(offsets, offsets).map(lambda pair: ByteRange(min(pair), max(pair)))
    wanted = data.draw(st.lists(st.one_of(ranges, st.just(whole)), min_size=1, max_size=5))
    reader = case.blob.reader()
    for offset in case.damage:
        reader.faults.install(Fault(Match(), Flip(offset)))
    async with engine_at(tmp_path_factory.mktemp("cache") / "cache") as engine:
        layer = Layer(
            engine=engine,
            reader=reader,
            access=Everybody(),
            blob=case.blob.descriptor,
            label="model test",
            tar=case.tar,
            trusted=LayerTrust(case.index, Trust.SIGNED, "key"),
        )
        await layer.open()

        async def read(each: ByteRange) -> None:
            touched = case.bad_chunks() & set(case.index.grid.chunks(each))
            try:
                answer = layer.read_now(each)
                got = bytes(await layer.read(each) if answer is None else answer)
            except IntegrityError:
                assert touched
            else:
                assert not touched
                assert got == case.blob.content[each.start : each.stop]

        for each in wanted[1:]:
            await read(each)
        async with trio.open_nursery() as nursery:
            for each in wanted:
                nursery.start_soon(read, each)
