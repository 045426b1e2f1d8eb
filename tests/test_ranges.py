"""Ranges: half-open, never backwards, and cut without a byte lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.ranges import ByteRange

ranges = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: ByteRange(min(ends), max(ends)))


def members(these: ByteRange) -> set[int]:
    return set(range(these.start, these.stop))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (-2, -1)])
def test_what_runs_backwards_or_begins_below_zero_is_no_range(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        ByteRange(start, stop)


def test_a_range_holds_its_start_and_not_its_stop() -> None:
    assert ByteRange(2, 5).length == 3
    assert ByteRange(5, 5).length == 0
    assert str(ByteRange(2, 5)) == "[2, 5)"


@given(ranges, ranges)
def test_covering_means_every_byte(one: ByteRange, other: ByteRange) -> None:
    if other.length:
        assert one.covers(other) == (members(other) <= members(one))


@given(ranges, ranges)
def test_the_overlap_holds_the_bytes_of_both_and_lies_within(one: ByteRange, other: ByteRange) -> None:
    common = one.overlap(other)
    assert members(common) == members(one) & members(other)
    assert one.covers(common)


@given(ranges, st.integers(1, 70))
def test_pieces_follow_each_other_and_only_the_last_is_short(whole: ByteRange, step_bytes: int) -> None:
    pieces = list(whole.pieces(step_bytes))
    assert [number for piece in pieces for number in range(piece.start, piece.stop)] == list(range(whole.start, whole.stop))
    assert all(piece.length == step_bytes for piece in pieces[:-1])
    assert all(0 < piece.length <= step_bytes for piece in pieces)


@given(ranges)
def test_a_slice_finds_the_bytes_of_a_range_in_a_buffer_that_begins_before_them(each: ByteRange) -> None:
    layer = bytes(range(60))
    assert layer[each.slice_from(0)] == layer[each.start : each.stop]
    start = each.start // 2
    assert layer[start:][each.slice_from(start)] == layer[each.start : each.stop]
