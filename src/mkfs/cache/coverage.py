"""Which bytes have been written: ranges merged as they come, and the news that some came twice."""

from bisect import bisect_left, bisect_right
from typing import final

from mkfs.ranges import ByteRange


@final
class Coverage:
    """A set of bytes as few sorted, separate ranges. Not safe for two threads at once."""

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, new: ByteRange) -> bool:
        """Puts `new` in; whether a byte of it was there already."""
        if not new.length:
            return False
        overlaps = bisect_left(self._starts, new.stop) > bisect_right(self._stops, new.start)
        first = bisect_left(self._stops, new.start)  # the first range that touches `new` or lies behind it
        last = bisect_right(self._starts, new.stop)  # behind the last that touches
        start = min([new.start, *self._starts[first:last][:1]])
        stop = max([new.stop, *self._stops[first:last][-1:]])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]
        return overlaps

    def covers(self, whole: ByteRange) -> bool:
        """Whether every byte of `whole` is in."""
        if not whole.length:
            return True
        at = bisect_right(self._starts, whole.start) - 1
        return at >= 0 and whole.stop <= self._stops[at]
