"""An index that grows with its layer is the one that is made of the whole, and says in time where each byte is stored."""

import io
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import OWN_FILE_BYTES, REST, grid_of
from mkfs.proof.growing import GrowingIndex
from mkfs.units import MIB

LAYER = Digest.of(b"as stored")
NOISE = random.Random(3).randbytes(3 * MIB)


def tar_of(sizes: list[int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, size_bytes in enumerate(sizes):
            info = tarfile.TarInfo(f"{'long-name-' * 12 * (number % 3)}{number}")
            info.size = size_bytes
            tar.addfile(info, io.BytesIO(NOISE[number : number + size_bytes]))
    return out.getvalue()


def of_the_whole(content: bytes, *, tar: bool) -> ChunkIndex:
    table = None
    if tar:
        scanner = TarScanner(len(content))
        scanner.feed(0, content)
        table = scanner.table()
    grid = grid_of(table, len(content))
    return ChunkIndex(
        LAYER, grid, digests_of(grid, range(grid.count), memoryview(content)), table, compression="gzip", stored_bytes=9
    )


def grown(content: bytes, step_bytes: int, *, tar: bool) -> tuple[ChunkIndex, dict[int, bytes]]:
    """The index, and the files as they were stored on the way, each appended to."""
    growing = GrowingIndex(LAYER, tar=tar)
    files: dict[int, bytearray] = {}
    for start in range(0, len(content), step_bytes):
        at = start
        for span in growing.feed(memoryview(content)[start : start + step_bytes]):
            file = files.setdefault(span.file, bytearray())
            assert (span.range.start, span.file_offset) == (at, len(file))
            file += content[span.range.start : span.range.stop]
            at = span.range.stop
        assert at == growing.size_bytes == min(start + step_bytes, len(content))
    return growing.finish("gzip", 9), {number: bytes(file) for number, file in files.items()}


def check(content: bytes, step_bytes: int, *, tar: bool) -> None:
    index, files = grown(content, step_bytes, tar=tar)
    assert index.encode() == of_the_whole(content, tar=tar).encode()
    assert {number: len(file) for number, file in files.items()} == index.grid.file_sizes
    for segment in index.grid.segments:
        stored = files[segment.file][segment.file_offset :][: segment.range.length]
        assert stored == content[segment.range.start : segment.range.stop]


sizes = st.sampled_from([0, 1, 511, 512, 40_000, MIB - 512, MIB - 511, MIB - 1, MIB, MIB + 1, 2 * MIB + 77])


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(files=st.lists(sizes, max_size=6), step_bytes=st.sampled_from([700, 65_537, MIB - 1, MIB, 10 * MIB]))
def test_a_tar_that_grows_is_indexed_and_stored_as_the_whole_would_be(files: list[int], step_bytes: int) -> None:
    check(tar_of(files), step_bytes, tar=True)


@pytest.mark.parametrize("size_bytes", [0, 1, OWN_FILE_BYTES - 1, OWN_FILE_BYTES, OWN_FILE_BYTES + 1, 3 * MIB])
def test_one_file_is_indexed_and_stored_as_the_whole_would_be(size_bytes: int) -> None:
    check(NOISE[:size_bytes], OWN_FILE_BYTES, tar=False)


def test_large_entries_side_by_side_and_the_tail_behind_them() -> None:
    content = tar_of([MIB, MIB, 5, 2 * MIB])
    index, files = grown(content, MIB, tar=True)
    assert sorted(files) == [REST, 1, 2, 3]
    assert files[3] == NOISE[3 : 3 + 2 * MIB]
    assert index.grid.segments[-1].file == REST


def test_what_is_no_tar_is_refused_on_the_way_or_at_the_end() -> None:
    growing = GrowingIndex(LAYER, tar=True)
    with pytest.raises(BadArchive, match="checksum"):
        growing.feed(memoryview(NOISE)[:600])
    growing = GrowingIndex(LAYER, tar=True)
    growing.feed(memoryview(tar_of([MIB]))[:MIB])
    with pytest.raises(BadArchive, match="content ends past the end") as caught:
        growing.finish("gzip", 9)
    assert str(LAYER) in caught.value.where


def test_the_digest_of_the_content_comes_along() -> None:
    growing = GrowingIndex(LAYER, tar=False)
    growing.feed(memoryview(NOISE)[:600])
    diff_id = Digest.of(NOISE[:600])
    assert growing.finish("gzip", 9, diff_id).diff_id == diff_id
