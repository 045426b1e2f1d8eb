"""Which reads follow each other, and what is worth fetching ahead of them."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.content.budget import IDLE_SECONDS, LEAST_BYTES, MOST_BYTES, Budget, ahead_limit
from mkfs.content.streams import FIRST_WINDOW_BYTES, GAP_BYTES, REMEMBERED, STREAM_BYTES, WIDEST_WINDOW_BYTES, Streams
from mkfs.ranges import ByteRange
from mkfs.units import GIB, KIB, MIB

FAR = 100 * GIB


class Following:
    """Streams of one layer without an end, and what they told."""

    def __init__(self, limit_bytes: int = MOST_BYTES, *, stop: int = FAR, widest_bytes: int = WIDEST_WINDOW_BYTES) -> None:
        self.budget = Budget(limit_bytes)
        self.streams = Streams(self.budget)
        self.stop, self.widest_bytes = stop, widest_bytes
        self.now = 0.0

    def read(self, start: int, length: int = MIB, likely: int | None = None) -> ByteRange | None:
        wanted = ByteRange(start, start + length)
        return self.streams.follow(wanted, self.now, widest_bytes=self.widest_bytes, stop=self.stop, likely=likely)

    def scan(self, start: int, stop: int, length: int = MIB) -> list[ByteRange]:
        """What was told while somebody read from `start` to `stop`."""
        return [told for at in range(start, stop, length) if (told := self.read(at, length)) is not None]


def test_thirty_two_readers_of_one_file_are_told_apart() -> None:
    following = Following()
    starts = [number * GIB for number in range(32)]
    told: dict[int, list[ByteRange]] = {start: [] for start in starts}
    for step in range(6):
        for start in starts:
            answer = following.read(start + step * MIB)
            told[start] += [] if answer is None else [answer]
    for start in starts:
        assert told[start][0] == ByteRange(start + 2 * MIB, start + 2 * MIB + FIRST_WINDOW_BYTES)
        assert len(told[start]) == 2  # and again when half of that was read


def test_the_window_grows_from_8_to_128_mebibytes_while_a_stream_holds_and_no_byte_is_told_twice() -> None:
    told = Following().scan(0, 2 * GIB)
    assert all(one.stop == other.start for one, other in pairwise(told))
    reader_at, ahead = 0, []
    following = Following()
    for reader_at in range(0, GIB, MIB):
        answer = following.read(reader_at)
        if answer is not None:
            ahead.append(answer.stop - (reader_at + MIB))
    assert ahead[:6] == [FIRST_WINDOW_BYTES, 16 * MIB, 32 * MIB, 64 * MIB, WIDEST_WINDOW_BYTES, WIDEST_WINDOW_BYTES]
    assert max(ahead) == WIDEST_WINDOW_BYTES


def test_a_reader_at_random_is_told_nothing_and_one_of_a_page_in_pieces_as_much_again() -> None:
    following, dice = Following(), random.Random(5)
    assert not any(following.read(dice.randrange(1000) * 50 * MIB, 4 * KIB) for _ in range(500))
    following.read(10 * GIB, 128 * KIB)
    assert following.read(10 * GIB + 128 * KIB, 128 * KIB) == ByteRange(10 * GIB + 256 * KIB, 10 * GIB + 512 * KIB)


@pytest.mark.parametrize("jump", [GAP_BYTES, 5 * MIB + 1, -4 * MIB, -1])
def test_a_small_jump_stays_in_the_stream(jump: int) -> None:
    following = Following()
    following.scan(0, 64 * MIB)
    told = following.scan(64 * MIB + jump, 300 * MIB + jump)
    assert told
    assert min(each.start for each in told) >= 64 * MIB
    assert following.budget.leased_bytes <= WIDEST_WINDOW_BYTES  # one stream's


@pytest.mark.parametrize("jump", [GAP_BYTES + 1, -65 * MIB])
def test_a_large_jump_is_somebody_else(jump: int) -> None:
    following = Following()
    here = 2 * GIB
    following.scan(GIB, here)
    assert following.read(here + jump, 4 * KIB) is None
    told = following.scan(here, here + 300 * MIB)
    assert told[0].start > here + 32 * MIB  # the stream is still there


def test_what_two_reads_in_a_row_were_is_no_stream_to_jump_in() -> None:
    following = Following()
    following.read(0, MIB // 2)
    following.read(MIB // 2, MIB // 2)
    assert following.read(2 * MIB, 4 * KIB) is None


def test_nothing_is_told_beyond_the_end_of_the_file() -> None:
    told = Following(stop=20 * MIB + 5).scan(0, 20 * MIB)
    assert told[-1].stop == 20 * MIB + 5
    assert max(each.stop for each in told) == 20 * MIB + 5


def test_who_begins_in_a_tensor_is_told_the_rest_of_it_and_no_more_until_he_gets_there() -> None:
    following, end = Following(), 300 * MIB + 77
    assert following.read(280 * MIB, 4 * KIB, likely=end) == ByteRange(280 * MIB + 4 * KIB, end)
    assert following.scan(280 * MIB + 4 * KIB, end - MIB, 128 * KIB) == []
    following.scan(end - MIB, end + 3 * MIB, 128 * KIB)
    assert following.scan(end + 3 * MIB, end + 40 * MIB)  # it became a reader of all


def test_a_tensor_wider_than_the_window_is_told_a_window_at_a_time() -> None:
    following = Following()
    assert following.read(0, 4 * KIB, likely=GIB) == ByteRange(4 * KIB, 4 * KIB + WIDEST_WINDOW_BYTES)
    told = following.scan(4 * KIB, GIB - MIB, 128 * KIB)
    assert told[-1].stop == GIB
    assert max(each.length for each in told) <= WIDEST_WINDOW_BYTES


def test_a_stream_that_is_expected_begins_at_the_widest_window_and_is_gone_on_with() -> None:
    following = Following()
    streams = following.streams
    assert streams.expect(GIB, 0.0, widest_bytes=WIDEST_WINDOW_BYTES, stop=FAR) == ByteRange(GIB, GIB + WIDEST_WINDOW_BYTES)
    told = following.scan(GIB + 8 * KIB, GIB + 128 * MIB)  # its reader had the header already
    assert told[0].start == GIB + WIDEST_WINDOW_BYTES


def test_all_streams_together_stay_within_the_budget() -> None:
    following = Following(limit_bytes=100 * MIB)
    for step in range(400):
        for number in range(8):
            following.read(number * 10 * GIB + step * MIB)
            assert following.budget.leased_bytes <= 100 * MIB


def test_a_reader_who_stopped_gives_his_part_back_after_a_while() -> None:
    following = Following(limit_bytes=WIDEST_WINDOW_BYTES)
    following.scan(0, 256 * MIB)
    assert following.budget.leased_bytes == WIDEST_WINDOW_BYTES
    assert following.scan(10 * GIB, 10 * GIB + 8 * MIB) == []
    following.now = IDLE_SECONDS
    assert following.scan(20 * GIB, 20 * GIB + 64 * MIB)


def test_a_forgotten_stream_gives_its_part_back_at_once() -> None:
    following = Following()
    following.scan(0, 16 * MIB)
    held = following.budget.leased_bytes
    assert held
    for number in range(1, REMEMBERED + 1):
        following.read(number * GIB)
    assert following.budget.leased_bytes == 0


@pytest.mark.parametrize(
    ("memory_bytes", "expected"), [(None, MOST_BYTES), (64 * GIB, MOST_BYTES), (GIB, 128 * MIB), (50 * MIB, LEAST_BYTES)]
)
def test_the_budget_follows_the_memory_limit(memory_bytes: int | None, expected: int) -> None:
    assert ahead_limit(memory_bytes) == expected


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(1, 3), st.integers(0, 20)), max_size=200),
    st.sampled_from([0, 3 * MIB, 20 * MIB, MOST_BYTES]),
    st.sampled_from([2 * MIB, WIDEST_WINDOW_BYTES]),
)
def test_whatever_is_read_what_is_told_is_ahead_within_the_file_the_budget_and_the_window(
    reads: list[tuple[int, int, int]], limit_bytes: int, widest_bytes: int
) -> None:
    following = Following(limit_bytes, stop=80 * MIB, widest_bytes=widest_bytes)
    for at, length, seconds in reads:
        following.now += seconds / 10
        told = following.read(at * MIB, min(length * MIB, following.stop - at * MIB), likely=at * MIB + 30 * MIB)
        if told is not None:
            assert at * MIB < told.start < told.stop <= following.stop
            assert told.length <= widest_bytes
        assert following.budget.leased_bytes <= limit_bytes


def test_a_stream_is_told_from_what_a_fault_brings_in() -> None:
    assert STREAM_BYTES > MIB  # read_ahead_kb where we may raise it
