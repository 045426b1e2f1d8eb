"""The grid: every byte has exactly one chunk and one place; large files begin a chunk of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.archive.entry import Entry, EntryKind
from mkfs.errors import IntegrityError
from mkfs.proof.grid import CHUNK_BYTES, OWN_FILE_BYTES, REST, Grid, Segment, grid_of, own_run
from mkfs.ranges import ByteRange
from mkfs.units import MIB

BLOCK = 512


def tar_of(sizes: list[int]) -> tuple[tuple[Entry, ...], int]:
    """A table as a tar of files with these sizes would have it, and the layer's size."""
    entries, at = [], 0
    for number, size in enumerate(sizes):
        entries.append(Entry(f"f{number}".encode(), EntryKind.FILE, 0o644, size, at + BLOCK))
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return tuple(entries), at + 2 * BLOCK


sizes = st.lists(
    st.integers(0, 3 * CHUNK_BYTES) | st.sampled_from([0, 1, OWN_FILE_BYTES - 1, OWN_FILE_BYTES, OWN_FILE_BYTES + 1]), max_size=6
)


@given(sizes)
def test_chunks_tile_the_layer_and_stay_within_the_chunk_size(sizes: list[int]) -> None:
    table, total = tar_of(sizes)
    grid = grid_of(table, total)
    at = 0
    for number in range(grid.count):
        chunk = grid.chunk_range(number)
        assert chunk.start == at
        assert 0 < chunk.length <= CHUNK_BYTES
        assert grid.chunk_at(chunk.start) == grid.chunk_at(chunk.stop - 1) == number
        at = chunk.stop
    assert at == total


@given(sizes)
def test_a_large_entry_begins_a_stored_file_of_its_own(sizes: list[int]) -> None:
    table, total = tar_of(sizes)
    grid = grid_of(table, total)
    for entry in table:
        if entry.size_bytes >= OWN_FILE_BYTES:
            file, offset = grid.place(grid.chunk_at(entry.content_offset))
            assert file != REST
            assert offset == 0
            assert grid.chunk_range(grid.chunk_at(entry.content_offset)).start == entry.content_offset


@given(sizes, st.data())
def test_spans_cover_what_was_asked_once_and_in_order(sizes: list[int], data: st.DataObject) -> None:
    table, total = tar_of(sizes)
    grid = grid_of(table, total)
    start = data.draw(st.integers(0, total))
    wanted = ByteRange(start, data.draw(st.integers(start, total)))
    stored: dict[tuple[int, int], int] = {}
    at = wanted.start
    for span in grid.spans(wanted):
        assert span.range.start == at
        at = span.range.stop
        for offset in (0, span.range.length - 1):
            place = (span.file, span.file_offset + offset)
            assert stored.setdefault(place, span.range.start + offset) == span.range.start + offset
    assert at == wanted.stop
    assert list(grid.chunks(wanted)) == [n for n in range(grid.count) if wanted.length and _meet(grid.chunk_range(n), wanted)]


def _meet(one: ByteRange, other: ByteRange) -> bool:
    return one.start < other.stop and other.start < one.stop


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [Segment(ByteRange(0, 9), REST, 0)],
        [Segment(ByteRange(1, 10), REST, 0)],
        [Segment(ByteRange(0, 5), REST, 0), Segment(ByteRange(4, 10), REST, 5)],
        [Segment(ByteRange(0, 5), REST, 0), Segment(ByteRange(6, 10), REST, 5)],
        [Segment(ByteRange(0, 5), REST, 0), Segment(ByteRange(5, 10), REST, 4)],
        [Segment(ByteRange(0, 5), 1, 1), Segment(ByteRange(5, 10), REST, 0)],
        [Segment(ByteRange(0, 10), REST, 0), Segment(ByteRange(10, 10), 1, 0)],
        [Segment(ByteRange(0, 10), -1, 0)],
        [Segment(ByteRange(0, 11), REST, 0)],
    ],
)
def test_segments_that_leave_gaps_or_overlap_are_refused(segments: list[Segment]) -> None:
    with pytest.raises(IntegrityError, match="tile"):
        Grid(10, segments)


def test_a_table_that_lies_still_gives_a_grid_that_tiles() -> None:
    overlapping = (
        Entry(b"a", EntryKind.FILE, 0o644, 2 * CHUNK_BYTES, 512),
        Entry(b"b", EntryKind.FILE, 0o644, 2 * CHUNK_BYTES, 1024),
        Entry(b"c", EntryKind.FILE, 0o644, 2**40, 512),
    )
    grid = grid_of(overlapping, 3 * CHUNK_BYTES)
    assert sum(segment.range.length for segment in grid.segments) == 3 * CHUNK_BYTES


def test_an_empty_layer_has_no_chunk() -> None:
    grid = grid_of(None, 0)
    assert (grid.count, grid.segments, list(grid.chunks(ByteRange(0, 0)))) == (0, (), [])
    with pytest.raises(IndexError):
        grid.chunk_at(0)
    with pytest.raises(IndexError):
        grid.chunk_range(0)


def test_a_single_byte_wants_its_own_chunk_and_no_other() -> None:
    grid = grid_of(None, 3 * CHUNK_BYTES)
    border = 2 * CHUNK_BYTES
    assert grid.chunks(ByteRange(border - 1, border)) == range(1, 2)
    assert grid.chunks(ByteRange(border, border + 1)) == range(2, 3)
    assert grid.chunks(ByteRange(border - 1, border + 1)) == range(1, 3)


def test_no_chunk_lies_outside_the_layer() -> None:
    grid = grid_of(None, 3 * CHUNK_BYTES)
    for number in (-1, 3):
        with pytest.raises(IndexError, match=str(number)):
            grid.chunk_range(number)
    for offset in (-1, 3 * CHUNK_BYTES):
        with pytest.raises(IndexError, match=str(offset)):
            grid.chunk_at(offset)


def test_a_tar_that_is_cut_behind_its_last_content_has_no_padding_to_store() -> None:
    entry = Entry(b"weights", EntryKind.FILE, 0o644, MIB + 1, 512, 0, b"")
    size_bytes = 512 + MIB + 1
    assert own_run(entry) == ByteRange(512, 512 + MIB + 512)
    assert own_run(entry, size_bytes) == ByteRange(512, size_bytes)
    assert own_run(entry, size_bytes + 1024) == ByteRange(512, 512 + MIB + 512)
    assert grid_of((entry,), size_bytes).segments[-1].range.stop == size_bytes
