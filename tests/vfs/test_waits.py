"""How long reads waited: counted in bounded memory, and the longest remembered."""

from dataclasses import dataclass
from math import inf

import pytest

from mkfs.content.reads import Cause, Obstacle
from mkfs.vfs.waits import FINE_BOUNDS_SECONDS, SLOWEST, Waits


@dataclass
class World:
    """A clock, and what everybody waits for."""

    now: float = 0.0
    cause: Cause = Cause.PROOF

    def look(self) -> Obstacle:
        return Obstacle(self.cause)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def waits(world: World) -> Waits:
    return Waits(lambda: world.now)


def pass_one(waits: Waits, world: World, seconds: float, start: int = 0) -> None:
    wait = waits.begin(1, start, start + 1, world.look)
    world.now += seconds
    waits.end(wait)


def test_without_any_there_are_no_percentiles(waits: Waits) -> None:
    counts = waits.statistics()
    assert (counts.seconds.count, counts.p50_seconds, counts.p90_seconds, counts.p99_seconds) == (0, None, None, None)


def test_percentiles_are_a_fifth_too_large_at_most(waits: Waits, world: World) -> None:
    for number in range(1, 101):
        pass_one(waits, world, number / 10)
    counts = waits.statistics()
    assert counts.seconds.count == 100
    for told, exact in ((counts.p50_seconds, 5), (counts.p90_seconds, 9), (counts.p99_seconds, 9.9)):
        assert told is not None
        assert exact <= told <= exact * 1.2


def test_those_that_are_over_are_counted_as_metrics_show_them(waits: Waits, world: World) -> None:
    for seconds in (0.001, 0.4, 0.5, 1000):
        pass_one(waits, world, seconds)
    told = waits.statistics().seconds
    by_bound = dict(zip((*told.bounds, inf), told.cumulative, strict=True))
    assert [by_bound[bound] for bound in (0.001, 0.25, 0.5, 300, inf)] == [1, 1, 3, 3, 4]
    assert told.total == pytest.approx(1000.901)


def test_no_percentile_is_above_the_longest_wait(waits: Waits, world: World) -> None:
    pass_one(waits, world, 0.5)
    counts = waits.statistics()
    assert (counts.p50_seconds, counts.p99_seconds, counts.longest_seconds) == (0.5, 0.5, 0.5)


def test_what_lies_beyond_the_bounds_is_as_long_as_the_longest(waits: Waits, world: World) -> None:
    pass_one(waits, world, FINE_BOUNDS_SECONDS[-1] * 3)
    assert waits.statistics().p50_seconds == FINE_BOUNDS_SECONDS[-1] * 3
    world.now = 0.0
    pass_one(waits, world, 0)
    assert waits.statistics().p50_seconds == FINE_BOUNDS_SECONDS[0]


def test_bounds_reach_from_a_page_fault_to_the_proof_of_a_large_layer() -> None:
    assert FINE_BOUNDS_SECONDS[0] <= 0.0001
    assert FINE_BOUNDS_SECONDS[-1] >= 2000


def test_the_slowest_are_kept_the_slowest_first_and_of_two_alike_the_earlier(waits: Waits, world: World) -> None:
    for number in (*range(20), 19):
        pass_one(waits, world, number, start=number)
    slowest = waits.slowest()
    assert [waited.seconds for waited in slowest] == [19, 19, 18, 17, 16, 15, 14, 13, 12, 11]
    assert len(slowest) == SLOWEST
    assert [waited.start for waited in slowest] == [int(waited.seconds) for waited in slowest]


def test_who_waits_longest_comes_first(waits: Waits, world: World) -> None:
    for number in range(3):
        waits.begin(number, 0, 1, world.look)
        world.now += 10
    assert [(seconds, wait.inode) for seconds, wait in waits.longest_waiting(2)] == [(30, 0), (20, 1)]
    assert waits.waiting == 3


def test_why_somebody_waited_is_what_was_seen_last(waits: Waits, world: World) -> None:
    wait = waits.begin(1, 0, 1, world.look)
    world.cause = Cause.TURN
    waits.look()
    world.cause = Cause.DISK
    waits.end(wait)
    assert [waited.cause for waited in waits.slowest()] == [Cause.TURN]
    assert waits.waiting == 0
