"""How many requests at once the link rewards: a climber, told what came and when. Pure: no clock of its own.

Theory. One connection is held back by its window and the round trip, several share a link that is full; which of the two holds can
only be tried. While as many requests are under way as are allowed, the bytes of a period give a rate. One more request is tried;
if the rate rose by a good part of what it would with a link to spare, it stays and the next is tried, else it is taken back, and
nothing is tried for a while. Time in which fewer are under way says nothing of the link and does not count.
"""

from typing import Final, final

# At the start. One connection on loopback brought 538 MB/s, two 778; there, two keep two cores busy with hashing.
LEAST_STREAMS: Final = 2
# What the buffers (`content.buffers.CAPACITY`) let run well. A link on which one connection gets 20 % is full by then.
MOST_STREAMS: Final = 6
# Long against a round trip and the bursts that bytes come in (up to 8 MiB), short against the seconds that a shard takes.
PERIOD_SECONDS: Final = 0.5
# Going from five to six, a link to spare gives 20 % more; the noise of half a second is some percent.
GAIN: Final = 1.1
# Between a try that brought nothing and the next: the link may have changed.
PAUSE_SECONDS: Final = 10.0


@final
class Pace:
    """`streams`: how many requests at once are worth it now."""

    __slots__ = ("_bytes", "_full", "_rate_before", "_rests_until", "_seconds", "_since", "streams")

    def __init__(self) -> None:
        self.streams = LEAST_STREAMS
        self._full = False  # as many under way as allowed
        self._since = 0.0
        self._bytes, self._seconds = 0, 0.0  # of the period
        self._rate_before: float | None = None  # with one stream less, while one more is tried
        self._rests_until = float("-inf")

    def under_way(self, count: int, now: float) -> None:
        """So many requests are under way from `now` (seconds) on."""
        self._advance(now)
        self._full = count >= self.streams

    def received(self, count: int, now: float) -> None:
        """`count` bytes came."""
        self._advance(now)
        if not self._full:
            return
        self._bytes += count
        if self._seconds >= PERIOD_SECONDS:
            rate, self._bytes, self._seconds = self._bytes / self._seconds, 0, 0.0
            self._judge(rate, now)

    def _advance(self, now: float) -> None:
        if self._full:
            self._seconds += now - self._since
        self._since = now

    def _judge(self, rate: float, now: float) -> None:
        if self._rate_before is not None and rate < self._rate_before * GAIN:
            self.streams -= 1
            self._rate_before, self._rests_until = None, now + PAUSE_SECONDS
        elif now < self._rests_until or self.streams == MOST_STREAMS:
            self._rate_before = None
        else:
            self.streams += 1
            self._rate_before, self._full = rate, False  # one is missing now
