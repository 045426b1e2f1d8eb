"""How a layer is cut to be fetched whole: nothing twice, nothing left out, and a chunk is settled only once all of it is here."""

from mmap import mmap

import pytest

from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.laps import Lap, Run, laps, runs
from mkfs.proof.grid import Grid, Segment, grid_of
from mkfs.ranges import ByteRange
from mkfs.units import MIB

LARGE = grid_of(None, 20 * MIB + 777)
# Entries beside each other, whose chunks end in odd places: rest, one large entry, rest.
MIXED = Grid(
    12 * MIB,
    (
        Segment(ByteRange(0, 700), 0, 0),
        Segment(ByteRange(700, 9 * MIB + 5), 1, 0),
        Segment(ByteRange(9 * MIB + 5, 12 * MIB), 0, 700),
    ),
)


def never(_run: Run) -> bool:
    return False


@pytest.mark.parametrize("grid", [LARGE, MIXED, grid_of(None, 0), grid_of(None, 5), grid_of(None, RANGE_BYTES)])
def test_runs_tile_the_layer_with_whole_chunks_that_fit_a_buffer(grid: Grid) -> None:
    at = chunk = 0
    for number, run in enumerate(runs(grid)):
        assert (run.number, run.bytes.start, run.chunks.start) == (number, at, chunk)
        assert 0 < run.bytes.length <= RANGE_BYTES
        assert run.bytes.stop == grid.chunk_range(run.chunks.stop - 1).stop
        at, chunk = run.bytes.stop, run.chunks.stop
    assert (at, chunk) == (grid.size_bytes, grid.count)


def test_a_lap_is_as_long_as_is_said_when_it_is_cut() -> None:
    wanted = 1
    cut = laps(grid_of(None, 6 * RANGE_BYTES), lambda: wanted, alone=never)
    assert [run.number for run in next(cut)] == [0]
    wanted = 3
    assert [[run.number for run in lap] for lap in cut] == [[1, 2, 3], [4, 5]]
    assert [len(lap) for lap in laps(LARGE, lambda: None, alone=never)] == [3]


def test_runs_that_stay_alone_part_the_laps_of_the_others() -> None:
    cut = laps(grid_of(None, 6 * RANGE_BYTES), lambda: 4, alone=lambda run: run.number in {2, 3})
    assert [[run.number for run in lap] for lap in cut] == [[0, 1], [2], [3], [4, 5]]


def test_bytes_of_a_lap_go_into_the_buffer_of_their_run() -> None:
    (both,) = laps(grid_of(None, RANGE_BYTES + 10), lambda: None, alone=never)
    lap = Lap(LARGE, both)
    with pytest.raises(ValueError, match="without a buffer"):
        lap.place(ByteRange(0, 1))
    with mmap(-1, RANGE_BYTES) as first, mmap(-1, RANGE_BYTES) as second:
        lap.buffer = first
        lap.done += 3
        with lap.target as target:
            assert len(target) == RANGE_BYTES - 3
        lap.done, lap.hot = RANGE_BYTES, True
        lap.next_run()
        assert (lap.buffer, lap.hot, lap.missing) == (None, False, ByteRange(RANGE_BYTES, RANGE_BYTES + 10))
        lap.buffer = second
        with lap.target as target:
            target[:] = b"0123456789"
        assert second[:11] == b"0123456789\0"


def test_a_chunk_is_settled_when_its_last_byte_is_here_and_never_one_of_another_run() -> None:
    lap = Lap(MIXED, next(laps(MIXED, lambda: None, alone=never)))
    assert [lap.next_in(699), lap.next_in(700)] == [None, 0]
    lap.unsettled = lap.run.chunks.stop
    assert lap.next_in(MIXED.size_bytes) is None
    lap.next_run()
    assert lap.next_in(MIXED.size_bytes) == lap.run.chunks.start
