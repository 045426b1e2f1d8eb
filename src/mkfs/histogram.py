"""Counts of measurements by how large they were: plain integers, cheap enough for every request."""

from bisect import bisect_left
from itertools import accumulate
from math import inf
from typing import final

from msgspec import Struct


@final
class Distribution(Struct, frozen=True):
    """A moment of a `Histogram`. `counts[i]` are those at most `bounds[i]` and above the one before; the last: above all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float  # of everything measured

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many were at most each bound; in the end, how many there were."""
        return tuple(accumulate(self.counts))

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def bound(self, share: float) -> float | None:
        """The least bound that at least `share` of all kept, infinite above all bounds; None without any."""
        cumulative = self.cumulative
        if not cumulative[-1]:
            return None
        return (*self.bounds, inf)[bisect_left(cumulative, share * cumulative[-1])]


@final
class Histogram:
    """Counts in one thread. `bounds` rise, each belongs to what is below it (Prometheus' `le`)."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total: float = 0

    def observe(self, value: float) -> None:
        """Counts a measurement, in the unit of the bounds."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> Distribution:
        """The counts now."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
