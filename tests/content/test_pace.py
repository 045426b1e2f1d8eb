"""How many requests at once: tried out on links that are told, second by second."""

import pytest

from mkfs.content.pace import LEAST_STREAMS, MOST_STREAMS, PAUSE_SECONDS, PERIOD_SECONDS, Pace
from mkfs.units import MIB


class Link:
    """Gives each request `each` bytes a second, all together not more than `together`."""

    def __init__(self, each: float, together: float) -> None:
        self.each, self.together = each, together
        self.pace, self.now = Pace(), 100.0

    def run(self, seconds: float, *, requests: int | None = None) -> list[int]:
        """Keeps as many requests under way as are allowed (or `requests`); how many were allowed, step by step."""
        allowed = []
        for _ in range(round(seconds / 0.05)):
            count = self.pace.streams if requests is None else requests
            self.pace.under_way(count, self.now)
            self.now += 0.05
            self.pace.received(int(min(count * self.each, self.together) * 0.05), self.now)
            allowed.append(self.pace.streams)
        return allowed


@pytest.mark.parametrize(("share", "expected"), [(0.57, 2), (0.4, 3), (0.3, 4), (0.2, 5), (0.05, MOST_STREAMS)])
def test_a_link_is_filled_with_as_many_requests_as_it_takes(share: float, expected: int) -> None:
    link = Link(share * 125e6, 125e6)
    link.run(8)
    assert link.pace.streams == expected or (link.pace.streams == expected + 1 and expected * share < 1)


def test_where_more_bring_nothing_two_stay_and_trying_costs_one_period_in_ten_seconds() -> None:
    link = Link(1e9, 1e9)
    allowed = link.run(60)
    assert set(allowed) == {LEAST_STREAMS, LEAST_STREAMS + 1}
    assert allowed.count(LEAST_STREAMS + 1) / len(allowed) < 2 * PERIOD_SECONDS / PAUSE_SECONDS


def test_a_link_that_got_room_is_found_out() -> None:
    link = Link(60e6, 125e6)
    link.run(20)
    before = link.pace.streams
    link.together = 1e9
    link.run(2 * PAUSE_SECONDS)
    assert link.pace.streams > before


def test_what_comes_while_fewer_are_under_way_says_nothing() -> None:
    link = Link(20e6, 125e6)
    link.run(30, requests=1)
    assert link.pace.streams == LEAST_STREAMS
    link.run(8)
    assert link.pace.streams == MOST_STREAMS


def test_bytes_that_come_in_lumps_are_a_rate_as_well() -> None:
    pace, now = Pace(), 0.0
    for _ in range(40):
        pace.under_way(pace.streams, now)
        now += 0.3
        pace.received(pace.streams * 8 * MIB, now)
    assert pace.streams == MOST_STREAMS
