"""Which tensor holds a byte of a file."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

from mkfs.ranges import ByteRange
from mkfs.tensors.start import Senseless


@final
@dataclass(frozen=True, slots=True)
class Placement:
    """Where the tensors of one file are. Offsets are of the file, ranges half-open; `len()` is the number of tensors.

    `header` is all before the data section, padding included. Two arrays of 8 bytes a tensor, in the order of the file: tensors
    neither overlap nor leave the data section, and may have gaps between them or no bytes.
    """

    header: ByteRange
    _starts: "array[int]" = field(repr=False)
    _stops: "array[int]" = field(repr=False)

    @classmethod
    def of(cls, header: ByteRange, tensors: Iterable[tuple[int, int]], size_bytes: int) -> "Placement":
        """The placement of `tensors`, in order, each `(start, stop)` of a file of `size_bytes`. Raises `Senseless`."""
        starts, stops = array("Q"), array("Q")
        behind = header.stop
        for start, stop in tensors:
            if not behind <= start <= stop <= size_bytes:
                raise Senseless
            starts.append(start)
            stops.append(stop)
            behind = stop
        return cls(header, starts, stops)

    def __len__(self) -> int:
        return len(self._starts)

    def tensor_at(self, offset: int) -> ByteRange | None:
        """The tensor that holds the byte at `offset`, in O(log n); None in the header, in a gap and past the end."""
        index = bisect_right(self._starts, offset) - 1  # the last of those that start there: others have no bytes
        if index < 0 or offset >= self._stops[index]:
            return None
        return ByteRange(self._starts[index], self._stops[index])
