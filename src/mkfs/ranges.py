"""Half-open ranges of bytes, `[start, stop)`: the one way offsets and lengths travel between rooms."""

from collections.abc import Iterator
from typing import final

from msgspec import Struct


@final
class ByteRange(Struct, frozen=True, order=True):
    """Bytes `start` up to but not including `stop`; may be empty. Raises `ValueError` unless 0 <= start <= stop."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a range: [{self.start}, {self.stop})")

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    def covers(self, other: "ByteRange") -> bool:
        """Whether every byte of `other` is in here."""
        return self.start <= other.start and other.stop <= self.stop

    def overlap(self, other: "ByteRange") -> "ByteRange":
        """The bytes in both; an empty range at `other.start` clamped into this one where there are none."""
        start = max(self.start, other.start)
        stop = min(self.stop, other.stop)
        return ByteRange(start, stop) if start < stop else ByteRange(min(start, self.stop), min(start, self.stop))

    def slice_from(self, start: int) -> slice:
        """Where it lies in a buffer whose first byte is byte `start`, which is not behind its own."""
        return slice(self.start - start, self.stop - start)

    def pieces(self, step_bytes: int) -> Iterator["ByteRange"]:
        """Cuts the range from its own start into runs of `step_bytes`; the last may be shorter."""
        for start in range(self.start, self.stop, step_bytes):
            yield ByteRange(start, min(start + step_bytes, self.stop))

    def __str__(self) -> str:
        return f"[{self.start}, {self.stop})"
