"""The chunk index: knows each chunk's bytes, survives being stored, and is not believed when it was damaged."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.archive.entry import Entry, EntryKind
from mkfs.errors import IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment, grid_of
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"tail"
TABLE = (Entry(b"dir", EntryKind.DIRECTORY, 0o755, 0, 512), Entry(b"dir/f", EntryKind.FILE, 0o4755, 100, 1024, 7, b""))


def index_of(content: bytes = CONTENT, table: tuple[Entry, ...] | None = None) -> ChunkIndex:
    grid = grid_of(table, len(content))
    return ChunkIndex(Digest.of(content), grid, digests_of(grid, range(grid.count), memoryview(content)), table)


def test_right_chunks_pass_and_each_wrong_one_is_named() -> None:
    index = index_of()
    for number in range(index.grid.count):
        chunk = index.grid.chunk_range(number)
        data = bytearray(CONTENT[chunk.start : chunk.stop])
        index.check(number, data)
        data[-1] ^= 1
        with pytest.raises(Mismatch, match=rf"\[{chunk.start}, {chunk.stop}\)"):
            index.check(number, data)
        with pytest.raises(Mismatch, match="length"):
            index.check(number, data[:-1])
    with pytest.raises(Mismatch):
        index.check(1, bytes(CHUNK_BYTES))


def test_digests_can_be_taken_run_by_run() -> None:
    grid = grid_of(None, len(CONTENT))
    whole = digests_of(grid, range(grid.count), memoryview(CONTENT))
    parts = b"".join(
        digests_of(grid, range(n, n + 1), memoryview(CONTENT)[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES]) for n in range(grid.count)
    )
    assert whole == parts
    assert digests_of(grid, range(0), memoryview(b"")) == b""


@pytest.mark.parametrize("table", [None, TABLE, ()])
def test_an_index_reads_back_as_it_was_written(table: tuple[Entry, ...] | None) -> None:
    index = index_of(table=table)
    back = ChunkIndex.decode(index.encode())
    assert (back.layer, back.grid, back.digests, back.table) == (index.layer, index.grid, index.digests, index.table)


@given(st.data())
def test_a_damaged_index_is_never_believed(data: st.DataObject) -> None:
    encoded = bytearray(index_of(b"x" * 3000, TABLE).encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(IntegrityError):
        ChunkIndex.decode(bytes(encoded))
    with pytest.raises(IntegrityError):
        ChunkIndex.decode(bytes(encoded[:at]))


def _sealed(body: bytes) -> bytes:
    good = index_of(b"").encode()
    return good[: good.index(b"\n") + 1] + hashlib.sha256(body).digest() + body


@pytest.mark.parametrize("body", [b"", b"\x80", b"\xc1", b"\x81\xa5extra\x01"])
def test_a_sealed_body_that_is_no_index_is_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        ChunkIndex.decode(_sealed(body))


def test_an_index_whose_entries_leave_the_layer_is_refused() -> None:
    outside = (Entry(b"f", EntryKind.FILE, 0o644, 100, 2950),)
    with pytest.raises(IntegrityError, match="leaves the layer"):
        ChunkIndex.decode(index_of(b"x" * 3000, outside).encode())


def test_an_index_with_a_wrong_number_of_digests_is_refused() -> None:
    with pytest.raises(IntegrityError, match="length"):
        ChunkIndex(Digest.of(b""), Grid(1, [Segment(ByteRange(0, 1), 0, 0)]), b"", None)


def test_bytes_become_proven_only_by_matching() -> None:
    blob = Descriptor("text/plain", Digest.of(b"abc"), 3)
    assert prove(blob, b"abc").data == b"abc"
    for wrong in (b"abd", b"ab", b"abcd", b""):
        with pytest.raises(Mismatch):
            prove(blob, wrong)
    with pytest.raises(Mismatch):  # the digest fits and the size does not: not what was described
        prove(Descriptor("text/plain", Digest.of(b"abc"), 4), b"abc")
    with pytest.raises(TypeError):
        Proven(object(), blob.digest, b"abc")
