"""How far readers reach into one layer: which chunks somebody read, which came as a guess, which nobody asked for. Counts alone.

Unit: a chunk's bytes, as a chunk is what is fetched and proven. So where a layer is read by chunks, what was wanted and what was
guessed add up to what the registry sent, byte for byte.
"""

from typing import Final, final

from msgspec import Struct

from mkfs.content.admission import Urgency
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange

_READ: Final = 1
_GUESSED: Final = 2


@final
class ReachStatistics(Struct, frozen=True):
    """A moment's counts, in bytes of chunks."""

    wanted_bytes: int  # read by somebody
    guessed_bytes: int  # fetched ahead of readers, and nobody waited for it when it came
    wasted_bytes: int  # of those, what nobody has read since
    filled_bytes: int  # fetched because all of it was asked for, and nobody waited for it


@final
class Reach:
    """The marks of one layer. To be called on one loop; cheap enough for every read."""

    __slots__ = (
        "_filled_bytes",
        "_grid",
        "_guessed_bytes",
        "_guessed_read_bytes",
        "_last_start",
        "_last_stop",
        "_marks",
        "_wanted_bytes",
    )

    def __init__(self) -> None:
        self._grid: Grid | None = None
        self._marks = bytearray()  # one for each chunk
        self._last_start = self._last_stop = 0  # chunks that are marked as read: most reads go on where the one before was
        self._wanted_bytes = self._guessed_bytes = self._guessed_read_bytes = self._filled_bytes = 0

    def read(self, grid: Grid, wanted: ByteRange) -> None:
        """Somebody reads `wanted` of the layer that `grid` cuts."""
        if grid is self._grid and self._last_start <= wanted.start and wanted.stop <= self._last_stop:
            return
        self._cut_by(grid)
        chunks = grid.chunks(wanted)
        for number in chunks:
            mark = self._marks[number]
            if not mark & _READ:
                self._marks[number] = mark | _READ
                length = grid.chunk_range(number).length
                self._wanted_bytes += length
                if mark & _GUESSED:
                    self._guessed_read_bytes += length
        if chunks:
            self._last_start, self._last_stop = grid.chunk_range(chunks[0]).start, grid.chunk_range(chunks[-1]).stop

    def came(self, grid: Grid, chunks: range, urgency: Urgency) -> None:
        """`chunks` were fetched, as urgent as `urgency` when they came."""
        if urgency is Urgency.DEMAND:
            return
        self._cut_by(grid)
        for number in chunks:
            length = grid.chunk_range(number).length
            if urgency is Urgency.BACKGROUND:
                self._filled_bytes += length
                continue
            mark = self._marks[number]
            self._guessed_bytes += length
            if mark & _READ:  # read before, and evicted since: it was worth keeping
                self._guessed_read_bytes += length
            elif mark & _GUESSED:  # fetched twice in vain: of the two one may still be read
                continue
            self._marks[number] = mark | _GUESSED

    def statistics(self) -> ReachStatistics:
        """A snapshot; cheap enough for every poll."""
        wasted_bytes = self._guessed_bytes - self._guessed_read_bytes
        return ReachStatistics(self._wanted_bytes, self._guessed_bytes, wasted_bytes, self._filled_bytes)

    def _cut_by(self, grid: Grid) -> None:
        """A layer is cut in one way, but its grid is made anew now and then. Where it is cut otherwise, the marks say nothing."""
        if grid is self._grid:
            return
        if grid != self._grid:
            self._marks = bytearray(grid.count)
        self._grid, self._last_start, self._last_stop = grid, 0, 0
