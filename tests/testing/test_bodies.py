"""Bodies: the same bytes however they are cut, wherever they live."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, FileBody, MemoryBody, SeededBody, as_body, digest_of
from mkfs.units import KIB, MIB

SIZE = 3 * MIB + 4097
WHOLE = SeededBody(seed=7, size_bytes=SIZE).read(ByteRange(0, SIZE))


@settings(max_examples=60, derandomize=True)
@given(start=st.integers(0, SIZE), length=st.integers(0, SIZE))
def test_a_seeded_body_gives_the_same_bytes_however_it_is_cut(start: int, length: int) -> None:
    wanted = ByteRange(start, min(start + length, SIZE))
    assert SeededBody(seed=7, size_bytes=SIZE).read(wanted) == WHOLE[wanted.start : wanted.stop]


def test_a_seeded_body_has_no_two_pages_alike_and_does_not_compress() -> None:
    pages = {WHOLE[start : start + 4 * KIB] for start in range(0, 3 * MIB, 4 * KIB)}
    assert len(pages) == 3 * MIB // (4 * KIB)
    assert len(zlib.compress(WHOLE)) > len(WHOLE)
    assert SeededBody(seed=8, size_bytes=SIZE).read(ByteRange(0, 100)) != WHOLE[:100]


@pytest.mark.parametrize("place", ["memory", "file"])
def test_bytes_in_memory_and_in_a_file_are_the_same_body(place: str, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(WHOLE)
    body: BlobBody = FileBody(path) if place == "file" else as_body(WHOLE)
    assert (body.size_bytes, body.read(ByteRange(5, 9))) == (SIZE, WHOLE[5:9])
    assert digest_of(body) == Digest.of(WHOLE) == digest_of(SeededBody(seed=7, size_bytes=SIZE))


def test_what_is_written_into_a_file_later_is_served_later(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"right")
    body = FileBody(path)
    path.write_bytes(b"wrong")
    assert body.read(ByteRange(0, 5)) == b"wrong"


def test_an_empty_body_is_one() -> None:
    for body in (MemoryBody(b""), SeededBody(seed=1, size_bytes=0)):
        assert (body.read(ByteRange(0, 0)), digest_of(body)) == (b"", Digest.of(b""))
