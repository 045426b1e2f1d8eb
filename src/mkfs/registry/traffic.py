"""What became of requests, and how long they took: counted in the trio thread, read by `status` and metrics."""

from http import HTTPStatus
from typing import Final, final

from msgspec import Struct

from mkfs.histogram import Distribution, Histogram

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "other")
NO_ANSWER: Final = "no_answer"  # refused, timed out, not HTTP, cut before its head was there
CANCELLED: Final = "cancelled"  # nobody wanted it any more, before its head was there
OUTCOMES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "other", NO_ANSWER, CANCELLED)

# From a registry in the same rack to the end of our patience (`retries.ANSWER_SECONDS`).
FIRST_BYTE_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
# To the end of the body: up to 128 MiB over a slow link.
TOTAL_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@final
class TrafficStatistics(Struct, frozen=True):
    """A moment's counts. A request is in `outcomes`, by method and outcome, once its answer has begun or will not."""

    outcomes: dict[tuple[str, str], int]
    broken: int  # answers that ended before they were complete, or stalled
    first_byte_seconds: Distribution  # from sending to the head of the answer
    total_seconds: Distribution  # from sending to the end of what was wanted of the body


@final
class Traffic:
    """The counts of one client."""

    __slots__ = ("_broken", "_first_byte", "_outcomes", "_total")

    def __init__(self) -> None:
        self._outcomes = {("GET", outcome): 0 for outcome in OUTCOMES}  # what alerts look at is there from the beginning
        self._broken = 0
        self._first_byte, self._total = Histogram(FIRST_BYTE_BOUNDS), Histogram(TOTAL_BOUNDS)

    def unanswered(self, method: str, *, cancelled: bool) -> None:
        """A request without an answer is over."""
        self._count(method, CANCELLED if cancelled else NO_ANSWER)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """The head of an answer is there, so many seconds after the request was sent."""
        self._count(method, f"{status // 100}xx" if HTTPStatus.CONTINUE <= status < 600 else "other")
        self._first_byte.observe(seconds)

    def ended(self, seconds: float, *, broken: bool) -> None:
        """Nobody wants more of an answer, so many seconds after the request was sent."""
        self._total.observe(seconds)
        self._broken += broken

    def _count(self, method: str, outcome: str) -> None:
        key = (method if method in METHODS else "other", outcome)
        self._outcomes[key] = self._outcomes.get(key, 0) + 1

    def snapshot(self) -> TrafficStatistics:
        """The counts now."""
        return TrafficStatistics(dict(self._outcomes), self._broken, self._first_byte.snapshot(), self._total.snapshot())
