"""Reads that could not be answered at once: which of them still wait, how long the others did, and which waited longest.

Each is timed once, here, for all who tell of it. Reads that were answered at once never come here, so they pay for no clock. Counts
are of fixed size, however long a mount lives.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, final

from msgspec import Struct

from mkfs.content.reads import Cause, Obstacle
from mkfs.histogram import Distribution, Histogram

# How many of the longest waits are remembered: what a person reads.
SLOWEST: Final = 10
# Of the counts that percentiles are taken from: from a thread that finds bytes on the disk to a layer of some hundred GB, by the
# fourth root of two, so that a percentile is at most a fifth too large.
_STEP: Final = 2.0**0.25
FINE_BOUNDS_SECONDS: Final = tuple(0.0001 * _STEP**number for number in range(100))
# Of those that metrics export, where a hundred bounds would be a hundred series for each mount: from a disk that answers in a
# millisecond to the end of an O_DIRECT read's patience. None of them is a fine one, so they cannot be made of those.
COARSE_BOUNDS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@final
class Wait(Struct, eq=False):
    """One read of `[start, stop)` of the file `inode` that waits since `since` (seconds of the clock), for what `look` tells."""

    inode: int
    start: int
    stop: int
    since: float
    look: Callable[[], Obstacle]
    cause: Cause  # the last one that was seen


@final
class Waited(Struct, frozen=True):
    """One read that waited, and why."""

    inode: int
    start: int
    stop: int
    seconds: float
    cause: Cause


@final
class WaitStatistics(Struct, frozen=True):
    """A moment's counts of the reads that waited and are over, whatever came of them. Percentiles are at most a fifth too large;
    None without any read.
    """

    seconds: Distribution  # by `COARSE_BOUNDS_SECONDS`
    longest_seconds: float
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


@final
class Waits:
    """All of one mount. To be called on one loop. `clock` tells seconds."""

    __slots__ = ("_clock", "_coarse", "_fine", "_longest", "_slowest", "_ties", "_waiting")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[Wait, None] = {}  # the one that waits longest first
        self._fine, self._coarse = Histogram(FINE_BOUNDS_SECONDS), Histogram(COARSE_BOUNDS_SECONDS)
        self._longest = 0.0
        self._slowest: list[tuple[float, int, Waited]] = []  # a heap, the shortest first
        self._ties = count()

    def begin(self, inode: int, start: int, stop: int, look: Callable[[], Obstacle]) -> Wait:
        """A read waits from now on."""
        wait = Wait(inode, start, stop, self._clock(), look, look().cause)
        self._waiting[wait] = None
        return wait

    def end(self, wait: Wait) -> None:
        """It is answered, has failed, or its reader is gone."""
        del self._waiting[wait]
        seconds = max(0.0, self._clock() - wait.since)
        self._fine.observe(seconds)
        self._coarse.observe(seconds)
        self._longest = max(self._longest, seconds)
        if len(self._slowest) < SLOWEST or seconds > self._slowest[0][0]:
            over = (seconds, -next(self._ties), Waited(wait.inode, wait.start, wait.stop, seconds, wait.cause))
            (heapq.heappush if len(self._slowest) < SLOWEST else heapq.heapreplace)(self._slowest, over)

    def look(self) -> None:
        """Looks what everybody waits for now. Called now and then, it is known of long waits what they were for in the end."""
        for wait in self._waiting:
            wait.cause = wait.look().cause

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def longest_waiting(self, limit: int) -> list[tuple[float, Wait]]:
        """Those that wait, with how many seconds: the longest first, `limit` at most."""
        now = self._clock()
        return [(max(0.0, now - wait.since), wait) for wait, _ in zip(self._waiting, range(limit), strict=False)]

    def slowest(self) -> tuple[Waited, ...]:
        """The `SLOWEST` that waited longest and are over, the slowest first."""
        return tuple(waited for _, _, waited in sorted(self._slowest, key=lambda each: (-each[0], -each[1])))

    def statistics(self) -> WaitStatistics:
        """A snapshot; cheap enough for every poll."""
        fine = self._fine.snapshot()
        # No wait took longer than the longest, whatever bound it kept.
        p50, p90, p99 = (None if (bound := fine.bound(share)) is None else min(self._longest, bound) for share in (0.5, 0.9, 0.99))
        return WaitStatistics(self._coarse.snapshot(), self._longest, p50, p90, p99)
