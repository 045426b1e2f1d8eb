"""Bytes per second over the last seconds, from counts that are looked at now and then. Pure: whoever looks says when."""

from collections import deque
from typing import Final, final

from msgspec import Struct

SAMPLE_SECONDS: Final = 1.0  # between two looks: a person who watches sees no less
SAMPLES: Final = 10  # so rates are of the last ten seconds: steady enough to read, soon over when it is over


@final
class Rate(Struct, frozen=True):
    """What came of two counts within `seconds`, per second. 0 over 0 s while there is nothing to compare."""

    seconds: float
    fetched_bytes_per_second: float
    served_bytes_per_second: float


@final
class Rates:
    """The last counts."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=SAMPLES)

    def note(self, now: float, fetched_bytes: int, served_bytes: int) -> None:
        """So many bytes were fetched and served up to `now` (seconds of any one clock)."""
        self._samples.append((now, fetched_bytes, served_bytes))

    def rate(self, now: float, fetched_bytes: int, served_bytes: int) -> Rate:
        """From the oldest count that is kept until now."""
        if not self._samples or now <= self._samples[0][0]:
            return Rate(0.0, 0.0, 0.0)
        then, fetched_before, served_before = self._samples[0]
        seconds = now - then
        return Rate(seconds, (fetched_bytes - fetched_before) / seconds, (served_bytes - served_before) / seconds)
