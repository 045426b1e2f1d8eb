"""The chunk index: knows each chunk's bytes, survives being stored, and is not believed when it was damaged."""

import hashlib
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.archive.entry import Entry, EntryKind
from mkfs.errors import IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex, digests_of
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment, grid_of
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange

_HEAD_BYTES = len(b"mkfs own chunk index 1\n") + 32
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
        with pytest.raises(Mismatch, match=rf"\[{chunk.start}, {chunk.stop}\)") as caught:
            index.check(number, data)
        assert caught.value.where == f"layer {index.layer}"
        with pytest.raises(Mismatch, match="length") as caught:
            index.check(number, data[:-1])
        assert caught.value.where == f"layer {index.layer}"
    with pytest.raises(Mismatch):
        index.check(1, bytes(CHUNK_BYTES))


def test_chunks_in_another_order_do_not_pass() -> None:
    content = b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES
    index = index_of(content)
    swapped = ChunkIndex(index.layer, index.grid, index.digests[32:] + index.digests[:32], None)
    for number in range(2):
        with pytest.raises(Mismatch):
            swapped.check(number, content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])


def test_digests_can_be_taken_run_by_run() -> None:
    grid = grid_of(None, len(CONTENT))
    whole = digests_of(grid, range(grid.count), memoryview(CONTENT))
    parts = b"".join(
        digests_of(grid, range(n, n + 1), memoryview(CONTENT)[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES]) for n in range(grid.count)
    )
    assert whole == parts
    assert digests_of(grid, range(0), memoryview(b"")) == b""


@pytest.mark.parametrize("table", [None, TABLE, (), (Entry(b"l", EntryKind.SYMLINK, 0o777, 0, 512, 3, b"target"),)])
def test_an_index_reads_back_as_it_was_written(table: tuple[Entry, ...] | None) -> None:
    index = index_of(table=table)
    back = ChunkIndex.decode(index.encode())
    assert (back.layer, back.grid, back.digests, back.table) == (index.layer, index.grid, index.digests, index.table)


def compressed(content: bytes = CONTENT, table: tuple[Entry, ...] | None = None, diff_id: Digest | None = None) -> ChunkIndex:
    index, blob = index_of(content, table), zlib.compress(content)
    return ChunkIndex(
        Digest.of(blob), index.grid, index.digests, table, compression="gzip", stored_bytes=len(blob), diff_id=diff_id
    )


def test_an_index_of_a_compressed_layer_has_the_blobs_digest_and_size_and_the_contents_chunks() -> None:
    index = compressed(table=TABLE)
    back = ChunkIndex.decode(index.encode())
    assert (back.compression, back.stored_bytes, back.layer) == ("gzip", index.stored_bytes, index.layer)
    assert (back.grid, back.digests, back.table) == (index.grid, index.digests, TABLE)
    assert back.stored_bytes < back.grid.size_bytes == len(CONTENT)
    back.check(0, CONTENT[:CHUNK_BYTES])


def test_the_digest_of_the_content_is_kept_where_it_is_known() -> None:
    known, unknown = compressed(diff_id=Digest.of(CONTENT)), compressed()
    assert ChunkIndex.decode(known.encode()).diff_id == Digest.of(CONTENT)
    assert ChunkIndex.decode(unknown.encode()).diff_id is None
    assert ChunkIndex.decode(index_of().encode()).diff_id == Digest.of(CONTENT)


def test_an_index_from_before_the_digest_of_the_content_was_kept_reads_as_ever() -> None:
    fields = msgspec.msgpack.decode(compressed().encode()[_HEAD_BYTES:])
    assert list(fields) == [
        *("layer", "size_bytes", "chunk_bytes", "segments", "digests", "table"),
        *("compression", "stored_bytes"),
    ]


def test_an_index_that_contradicts_its_layers_digest_is_refused() -> None:
    index = index_of()
    assert ChunkIndex(index.layer, index.grid, index.digests, None, diff_id=index.layer).diff_id == index.layer
    with pytest.raises(IntegrityError, match="wrong digest of the content"):
        ChunkIndex(index.layer, index.grid, index.digests, None, diff_id=Digest.of(b"other"))
    body = msgspec.msgpack.decode(compressed(diff_id=index.layer).encode()[_HEAD_BYTES:])
    sealed = _sealed(msgspec.msgpack.encode({**body, "diff_id": "sha256:short"})).replace(b"index 1", b"index 2", 1)
    with pytest.raises(IntegrityError):
        ChunkIndex.decode(sealed)


def test_an_index_of_a_layer_that_is_not_compressed_is_stored_in_the_very_bytes_of_version_1() -> None:
    # Ledgers in caches name their index by these bytes.
    encoded = index_of(b"x" * 3000, TABLE).encode()
    assert Digest.of(encoded).hex == "695ffd2f7a60cb2540cefdfeeb6b45d10684c7dfd2c28f9277837accde29fb5a"
    assert encoded.startswith(b"mkfs own chunk index 1\n")
    assert (ChunkIndex.decode(encoded).compression, ChunkIndex.decode(encoded).stored_bytes) == ("", 3000)


@pytest.mark.parametrize(
    ("size_bytes", "options"),
    [(3000, {"stored_bytes": 2999}), (3000, {"compression": "zstd"}), (0, {"compression": "gzip", "stored_bytes": -1})],
)
def test_a_stored_size_that_cannot_be_is_refused(size_bytes: int, options: dict[str, Any]) -> None:
    index = index_of(bytes(size_bytes))
    got = f"got {options.get('stored_bytes')} bytes stored, {size_bytes} bytes of content"
    with pytest.raises(IntegrityError, match=f"stored size .{got}"):
        ChunkIndex(index.layer, index.grid, index.digests, None, **options)


def test_the_versions_are_not_taken_for_each_other() -> None:
    one, two = index_of().encode(), compressed().encode()
    for wrong in (
        two.replace(b"index 2", b"index 1", 1),
        one.replace(b"index 1", b"index 2", 1),
        one.replace(b"index 1", b"index 3", 1),
    ):
        with pytest.raises(IntegrityError):
            ChunkIndex.decode(wrong)


@given(st.data())
def test_a_damaged_index_is_never_believed(data: st.DataObject) -> None:
    encoded = bytearray(data.draw(st.sampled_from([index_of, compressed]))(b"x" * 3000, TABLE).encode())
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


def test_an_index_of_other_chunks_is_refused() -> None:
    body = msgspec.msgpack.decode(index_of(b"x").encode()[_HEAD_BYTES:])
    assert ChunkIndex.decode(_sealed(msgspec.msgpack.encode(body))).layer == Digest.of(b"x")
    with pytest.raises(IntegrityError, match="other chunks"):
        ChunkIndex.decode(_sealed(msgspec.msgpack.encode({**body, "chunk_bytes": CHUNK_BYTES // 2})))


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


def test_the_digests_of_some_chunks_are_those_that_the_whole_gives_them() -> None:
    content = bytes(range(256)) * (4 * CHUNK_BYTES // 256) + b"and the rest"
    grid = grid_of(None, len(content))
    whole = digests_of(grid, range(grid.count), memoryview(content))
    assert grid.count == 5
    for start, stop in ((0, 0), (2, 2), (0, 2), (1, 3), (2, 5), (4, 5)):
        data = content[start * CHUNK_BYTES : stop * CHUNK_BYTES]
        assert digests_of(grid, range(start, stop), memoryview(data)) == whole[start * DIGEST_BYTES : stop * DIGEST_BYTES]
