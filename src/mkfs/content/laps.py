"""How a layer is cut to be fetched whole: into runs of whole chunks, and laps of consecutive runs, one for each request.

A run is what fits into one buffer (`content.buffers`): as much as one thread hashes and writes at a time. A request may bring
several, as it costs the same whatever its size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from mmap import mmap
from typing import final

from mkfs.content.buffers import RANGE_BYTES
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange


@final
@dataclass(frozen=True, slots=True)
class Run:
    """What one buffer holds: `bytes` of the layer, which are exactly the chunks numbered `chunks`."""

    number: int
    bytes: ByteRange
    chunks: range


def runs(grid: Grid) -> Iterator[Run]:
    """Tiles the layer with runs: whole chunks, in order, up to `RANGE_BYTES` together."""
    number = first = start = stop = 0
    for chunk in range(grid.count):
        chunk_stop = grid.chunk_range(chunk).stop
        if chunk_stop - start > RANGE_BYTES:
            yield Run(number, ByteRange(start, stop), range(first, chunk))
            number, first, start = number + 1, chunk, stop
        stop = chunk_stop
    if stop > start:
        yield Run(number, ByteRange(start, stop), range(first, grid.count))


def laps(grid: Grid, most: Callable[[], int | None], *, alone: Callable[[Run], bool]) -> Iterator[tuple[Run, ...]]:
    """All runs of the layer in order: laps of as many as `most` says when one is cut (None: all), and those that stay `alone`."""
    for by_itself, group in groupby(runs(grid), alone):
        while lap := tuple(islice(group, 1 if by_itself else most())):
            yield lap


@final
class Lap:
    """Consecutive runs that one request brings, on their way in. `done`: where in the layer the next byte belongs."""

    __slots__ = ("_at", "_grid", "_runs", "buffer", "done", "hot", "stop", "unsettled")

    def __init__(self, grid: Grid, lap: Sequence[Run]) -> None:
        self._grid, self._runs, self._at = grid, lap, 0
        self.unsettled = lap[0].chunks.start  # number of the first chunk that is not settled
        self.done, self.stop = lap[0].bytes.start, lap[-1].bytes.stop
        self.buffer: mmap | None = None  # of the run being filled
        self.hot = False  # whether that run passes the frontier as it comes

    @property
    def missing(self) -> ByteRange:
        """What has not come yet."""
        return ByteRange(self.done, self.stop)

    @property
    def run(self) -> Run:
        """The run that the next byte belongs to."""
        return self._runs[self._at]

    @property
    def target(self) -> memoryview:
        """Where the next bytes belong, up to the end of their run."""
        return self.place(ByteRange(self.done, self.run.bytes.stop))

    def place(self, wanted: ByteRange) -> memoryview:
        """Where bytes of the run belong."""
        if self.buffer is None:
            raise ValueError("a run without a buffer")
        return memoryview(self.buffer)[wanted.slice_from(self.run.bytes.start)]

    def next_in(self, done: int) -> int | None:
        """The next chunk of the run to settle, if all of it is here when the layer's bytes are up to `done`."""
        number = self.unsettled
        return number if number < self.run.chunks.stop and self._grid.chunk_range(number).stop <= done else None

    def next_run(self) -> None:
        """The run is full, and its buffer somebody else's."""
        self._at += 1
        self.buffer, self.hot = None, False
