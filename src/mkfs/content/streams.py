"""Streams: which reads follow each other, and how far ahead of them it is worth to fetch. Offsets in, ranges out; pure.

Readers share one handle from many threads and processes, so neither tells a stream; that a read starts where an earlier one
stopped does. What has been read in a row says how much more is likely: as much again. So a reader at random, whose one page the
kernel asks for in two or three pieces, gets no more than that. From `STREAM_BYTES` on it is a stream: it gets a window, which
doubles while the stream holds, and is followed over small jumps, as the kernel's readahead and loaders that skip a tensor make
them.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

from mkfs.content.budget import Budget
from mkfs.ranges import ByteRange
from mkfs.units import MIB

# Streams remembered per layer: twice the 32 that should run well at once.
REMEMBERED: Final = 64
# What a fault brings in at most by itself (read_ahead_kb, 1 MiB), and as much again: a reader that has come so far reads on.
STREAM_BYTES: Final = 2 * MIB
# The first window: below that, a registry's 5 to 13 ms per request count.
FIRST_WINDOW_BYTES: Final = 8 * MIB
# The widest: a second of 1 Gbit/s. More brings nothing but memory.
WIDEST_WINDOW_BYTES: Final = 128 * MIB
# A jump forward that stays in the stream. What lies between is fetched already, or costs less than the stream's end and a new one.
GAP_BYTES: Final = 16 * MIB


@final
@dataclass(slots=True, eq=False)
class _Stream:
    """It goes on at `next`; everything before `ahead` was told."""

    next: int
    ahead: int
    read_bytes: int
    window_bytes: int = 0  # 0: not a stream yet
    bound: int | None = None  # nothing beyond it is told until the reader gets there

    def is_near(self, start: int) -> bool:
        """Whether a read at `start` may be this stream's, after a jump."""
        return bool(self.window_bytes) and self.next - self.window_bytes // 2 <= start <= self.next + GAP_BYTES

    def go_on(self, wanted: ByteRange) -> None:
        """`wanted` is read."""
        self.next = max(self.next, wanted.stop)
        self.read_bytes += wanted.length
        if self.bound is not None and self.next > self.bound:
            self.bound = None

    def end(self, stop: int) -> int:
        """Where it ends, if the file ends at `stop`."""
        return stop if self.bound is None else min(stop, self.bound)

    def worth_bytes(self, widest_bytes: int) -> int:
        """How much should be ahead now; 0 while half a window still is. The window grows here."""
        begins = not self.window_bytes and self.read_bytes >= STREAM_BYTES
        if begins:
            self.window_bytes = FIRST_WINDOW_BYTES
        window_bytes = min(self.window_bytes or self.read_bytes, widest_bytes)
        if self.ahead - self.next > window_bytes // 2:
            return 0
        if self.window_bytes and not begins:
            self.window_bytes = min(2 * self.window_bytes, widest_bytes)
        return min(self.window_bytes or self.read_bytes, widest_bytes)


@final
class Streams:
    """The last streams of one layer."""

    __slots__ = ("_budget", "_streams")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._streams: OrderedDict[int, _Stream] = OrderedDict()  # by where each goes on; the one read longest ago first

    def follow(self, wanted: ByteRange, now: float, *, widest_bytes: int, stop: int, likely: int | None = None) -> ByteRange | None:
        """Notes the read of `wanted` (not empty); what to fetch ahead of it now, that no earlier read of the stream was told.

        At most `widest_bytes` are ahead, and none from `stop` on, where something else begins. `likely`: who begins here reads on
        to that offset, so it is told at once, and no more until the reader gets there. None for a read at random, and while half a
        window is ahead still. `now`: seconds of the budget's clock.
        """
        stream = self._streams.pop(wanted.start, None) or self._near(wanted.start)
        worth_bytes = 0
        if stream is None:
            stream = _Stream(wanted.stop, wanted.stop, wanted.length)
            if likely is not None and likely > wanted.stop:
                stream.bound, stream.window_bytes = likely, FIRST_WINDOW_BYTES
                worth_bytes = min(likely - wanted.stop, widest_bytes)
        else:
            stream.go_on(wanted)
            if stream.ahead < stream.end(stop):
                worth_bytes = stream.worth_bytes(widest_bytes)
        told = self._run_ahead(stream, worth_bytes, stop, now) if worth_bytes else None
        self._remember(stream)
        return told

    def expect(self, begin: int, now: float, *, widest_bytes: int, stop: int) -> ByteRange | None:
        """Has a stream begin at `begin` that nobody reads yet; what to fetch for it, before `stop`."""
        stream = _Stream(begin, begin, STREAM_BYTES, widest_bytes)
        told = self._run_ahead(stream, widest_bytes, stop, now)
        self._remember(stream)
        return told

    def _run_ahead(self, stream: _Stream, worth_bytes: int, stop: int, now: float) -> ByteRange | None:
        """Has up to `worth_bytes` ahead of the stream; what of them is new."""
        granted = self._budget.lease(stream, min(worth_bytes, stream.end(stop) - stream.next), now)
        start = max(stream.ahead, stream.next)
        stream.ahead = max(start, stream.next + granted)
        return ByteRange(start, stream.ahead) if stream.ahead > start else None

    def _near(self, start: int) -> _Stream | None:
        near = [stream for stream in self._streams.values() if stream.is_near(start)]
        if not near:
            return None
        nearest = min(near, key=lambda stream: abs(stream.next - start))
        del self._streams[nearest.next]
        return nearest

    def _remember(self, stream: _Stream) -> None:
        other = self._streams.pop(stream.next, None)  # two that met are one from now on
        if other is not None:
            self._budget.end(other)
            stream.ahead = max(stream.ahead, other.ahead)
        if len(self._streams) >= REMEMBERED:
            self._budget.end(self._streams.popitem(last=False)[1])
        self._streams[stream.next] = stream
