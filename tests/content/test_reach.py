"""What readers reach, and what was guessed for nobody: chunks, each counted once."""

from mkfs.content.admission import Urgency
from mkfs.content.reach import Reach, ReachStatistics
from mkfs.proof.grid import Grid, Segment, grid_of
from mkfs.ranges import ByteRange
from mkfs.units import MIB

SIZE_BYTES = 5 * MIB + 100
GRID = grid_of(None, SIZE_BYTES)


def test_a_chunk_counts_once_however_often_it_is_read() -> None:
    reach = Reach()
    for wanted in (ByteRange(0, 10), ByteRange(10, 20), ByteRange(MIB - 1, MIB + 1), ByteRange(5, 6)):
        reach.read(GRID, wanted)
    assert reach.statistics() == ReachStatistics(wanted_bytes=2 * MIB, guessed_bytes=0, wasted_bytes=0, filled_bytes=0)


def test_a_read_beyond_the_chunks_of_the_last_one_counts() -> None:
    reach = Reach()
    reach.read(GRID, ByteRange(MIB, 2 * MIB))
    reach.read(GRID, ByteRange(MIB - 1, 2 * MIB))
    reach.read(GRID, ByteRange(MIB, 2 * MIB + 1))
    assert reach.statistics().wanted_bytes == 3 * MIB


def test_the_last_chunk_counts_what_it_has() -> None:
    reach = Reach()
    reach.read(GRID, ByteRange(SIZE_BYTES - 1, SIZE_BYTES))
    assert reach.statistics().wanted_bytes == 100


def test_what_was_guessed_is_waste_until_somebody_reads_it() -> None:
    reach = Reach()
    reach.came(GRID, range(4), Urgency.READAHEAD)
    assert reach.statistics() == ReachStatistics(0, guessed_bytes=4 * MIB, wasted_bytes=4 * MIB, filled_bytes=0)
    reach.read(GRID, ByteRange(0, MIB + 1))
    assert reach.statistics() == ReachStatistics(2 * MIB, guessed_bytes=4 * MIB, wasted_bytes=2 * MIB, filled_bytes=0)


def test_what_somebody_waited_for_was_no_guess() -> None:
    reach = Reach()
    reach.came(GRID, range(4), Urgency.DEMAND)
    assert reach.statistics() == ReachStatistics(0, 0, 0, 0)


def test_what_was_asked_for_without_a_reader_is_filled_and_no_waste() -> None:
    reach = Reach()
    reach.came(GRID, range(GRID.count), Urgency.BACKGROUND)
    assert reach.statistics() == ReachStatistics(0, 0, 0, filled_bytes=SIZE_BYTES)


def test_a_guess_of_what_was_read_before_and_evicted_is_no_waste() -> None:
    reach = Reach()
    reach.read(GRID, ByteRange(0, 1))
    reach.came(GRID, range(1), Urgency.READAHEAD)
    assert reach.statistics() == ReachStatistics(MIB, guessed_bytes=MIB, wasted_bytes=0, filled_bytes=0)


def test_of_a_chunk_that_was_guessed_twice_one_was_in_vain() -> None:
    reach = Reach()
    reach.came(GRID, range(1), Urgency.READAHEAD)
    reach.came(GRID, range(1), Urgency.READAHEAD)
    reach.read(GRID, ByteRange(0, 1))
    assert reach.statistics() == ReachStatistics(MIB, guessed_bytes=2 * MIB, wasted_bytes=MIB, filled_bytes=0)


def test_a_grid_made_anew_is_the_same_and_another_one_is_not() -> None:
    reach = Reach()
    reach.read(GRID, ByteRange(0, 1))
    reach.read(grid_of(None, SIZE_BYTES), ByteRange(0, 1))
    assert reach.statistics().wanted_bytes == MIB
    halves = Grid(SIZE_BYTES, [Segment(ByteRange(0, 10), 0, 0), Segment(ByteRange(10, SIZE_BYTES), 1, 0)])
    reach.read(halves, ByteRange(0, 1))
    assert reach.statistics().wanted_bytes == MIB + 10
