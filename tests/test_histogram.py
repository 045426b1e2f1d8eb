"""Counts by size: what belongs where, and that nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from mkfs.histogram import Distribution, Histogram

BOUNDS = (1, 2.5, 10)


def counted(*values: float) -> Distribution:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    return histogram.snapshot()


def test_a_bound_belongs_to_what_is_below_it() -> None:
    assert counted(0, 1, 1.5, 2.5, 10, 11).counts == (2, 2, 1, 1)


def test_a_snapshot_stays_what_it_was() -> None:
    histogram = Histogram(BOUNDS)
    before = histogram.snapshot()
    histogram.observe(3)
    assert (before.counts, before.total) == ((0, 0, 0, 0), 0)


@given(st.lists(st.integers(0, 20)))
def test_all_are_counted_once_and_summed(values: list[int]) -> None:
    told = counted(*values)
    assert sum(told.counts) == told.cumulative[-1] == len(values)
    assert told.total == sum(values)
    assert told.cumulative[:-1] == tuple(sum(value <= bound for value in values) for bound in BOUNDS)
