"""A whole layer is proven by its bytes alone, whatever order its chunks come in, and what is wrong with them is told apart."""

import pytest

from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive, Mismatch
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import Grid, grid_of
from mkfs.proof.whole import WholeProof
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.support.layers import ARCHIVE, Blob, seeded

FILE = Blob(seeded(5, 3 * MIB + 7))
GRID = grid_of(None, len(FILE.content))


def taken(blob: Blob, grid: Grid, content: bytes, *, tar: bool = False) -> WholeProof:
    """A proof that took `content` for `blob`: the last chunk first."""
    proof = WholeProof(blob.descriptor, grid, tar=tar)
    for number in reversed(range(grid.count)):
        chunk = grid.chunk_range(number)
        proof.take_chunks(range(number, number + 1), memoryview(content)[chunk.start : chunk.stop])
    for piece in ByteRange(0, len(content)).pieces(MIB + 5):
        proof.feed(piece.start, memoryview(content)[piece.start : piece.stop])
    return proof


def with_flip(content: bytes, *offsets: int) -> bytes:
    wrong = bytearray(content)
    for offset in offsets:
        wrong[offset] ^= 1
    return bytes(wrong)


def test_the_index_is_that_of_the_bytes_with_their_table() -> None:
    scanner = TarScanner(len(ARCHIVE.content))
    scanner.feed(0, ARCHIVE.content)
    table = scanner.table()
    grid = grid_of(table, len(ARCHIVE.content))
    digests = digests_of(grid, range(grid.count), memoryview(ARCHIVE.content))
    expected = ChunkIndex(ARCHIVE.digest, grid, digests, table)
    assert taken(ARCHIVE, grid, ARCHIVE.content, tar=True).finish().encode() == expected.encode()
    assert taken(ARCHIVE, grid, ARCHIVE.content).finish().table is None


def test_wrong_bytes_are_a_mismatch_even_where_they_are_no_tar_as_well() -> None:
    proof = taken(ARCHIVE, grid_of(None, len(ARCHIVE.content)), with_flip(ARCHIVE.content, 0), tar=True)
    with pytest.raises(Mismatch):
        proof.finish()


@pytest.mark.parametrize(
    "content",
    [b"\1" * 2048, ARCHIVE.content[: 2 * MIB], b"\1" * 100],
    ids=["no archive at all", "one that ends within an entry", "less than a header"],
)
def test_right_bytes_that_are_no_tar_are_a_bad_archive(content: bytes) -> None:
    blob = Blob(content)
    proof = taken(blob, grid_of(None, len(content)), content, tar=True)
    with pytest.raises(BadArchive) as caught:
        proof.finish()
    assert caught.value.where.endswith(f"layer {blob.digest}")


def test_what_two_proofs_took_differs_within_the_chunks_that_hold_the_difference() -> None:
    right = taken(FILE, GRID, FILE.content)
    assert right.differing(taken(FILE, GRID, FILE.content)) is None
    assert right.differing(taken(FILE, GRID, with_flip(FILE.content, MIB))) == ByteRange(MIB, 2 * MIB)
    wide = taken(FILE, GRID, with_flip(FILE.content, 5, 3 * MIB + 1))
    assert right.differing(wide) == wide.differing(right) == FILE.whole


def test_more_bytes_than_promised_are_refused_at_once() -> None:
    proof = taken(FILE, GRID, FILE.content)
    with pytest.raises(Mismatch):
        proof.feed(len(FILE.content), memoryview(b"x"))
