"""Streams: which reads follow each other, and how far ahead of them it is worth to fetch. Offsets in, ranges out.

Readers share one handle from many threads and processes, so neither tells a stream; that a read starts where an earlier one
stopped does. What has been read in a row says how much more is likely: as much again, up to the window. So a reader at random,
whose one page the kernel asks for in two or three pieces, gets no more than that.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

from mkfs.ranges import ByteRange

# Streams remembered per layer: twice the 32 that should run well at once.
REMEMBERED: Final = 64


@final
@dataclass(frozen=True, slots=True)
class _Stream:
    started: int
    ahead: int  # where the last range ahead stopped


@final
class Streams:
    """The last streams of one layer, by the offset where each will go on."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: OrderedDict[int, _Stream] = OrderedDict()

    def follow(self, wanted: ByteRange, window_bytes: int) -> ByteRange | None:
        """Notes the read of `wanted`; what to fetch ahead of it now: up to `window_bytes` that no earlier read of the stream was
        told. None for a read at random, and while half a window is ahead still. May leave the layer.
        """
        stream = self._streams.pop(wanted.start, None)
        follows = stream is not None
        if stream is None:
            stream = _Stream(wanted.start, wanted.stop)
            if len(self._streams) >= REMEMBERED:
                self._streams.popitem(last=False)
        window_bytes = min(window_bytes, wanted.stop - stream.started)
        start = max(stream.ahead, wanted.stop)
        if not follows or start - wanted.stop > window_bytes // 2:
            self._streams[wanted.stop] = stream
            return None
        self._streams[wanted.stop] = _Stream(stream.started, start + window_bytes)
        return ByteRange(start, start + window_bytes)
