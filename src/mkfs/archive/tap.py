"""A tap on the stream: reads a layer's table while its bytes pass by in order, whatever sizes they come in.

The scanner hops over content, so of a layer with large entries the tap copies nothing but headers that straddle two pieces.
"""

from typing import final

from mkfs.archive.entry import Table
from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive


@final
class TableTap:
    """Feeds a `TarScanner` from consecutive pieces of an uncompressed tar of `size_bytes`. Not for two threads at once."""

    def __init__(self, size_bytes: int) -> None:
        self._scanner = TarScanner(size_bytes)
        self._offset = 0
        self._carry = b""  # the bytes from the scanner's next header up to the end of what came

    def feed(self, data: memoryview) -> None:
        """The next bytes of the layer, in order. Raises `BadArchive`."""
        start, self._offset = self._offset, self._offset + len(data)
        while (wants := self._scanner.wants) is not None and wants.start < self._offset:
            if wants.stop > self._offset:  # not all of it came: keep what did
                self._carry = self._held(start, data, wants.start, self._offset)
                return
            if wants.start < start:
                self._scanner.feed(wants.start, self._held(start, data, wants.start, wants.stop))
            else:
                self._scanner.feed(wants.start, data[wants.start - start :])
        self._carry = b""

    def table(self) -> Table:
        """The whole table, once every byte came. Raises `BadArchive` where the archive stops short."""
        if self._scanner.wants is not None:
            raise BadArchive("archive ends within an entry")
        return self._scanner.table()

    def _held(self, start: int, data: memoryview, wanted_start: int, wanted_stop: int) -> bytes:
        """Bytes `[wanted_start, wanted_stop)` of the layer out of the carry and the current piece, which begins at `start`."""
        if wanted_start >= start:
            return bytes(data[wanted_start - start : wanted_stop - start])
        carry_start = start - len(self._carry)
        return self._carry[wanted_start - carry_start :] + bytes(data[: wanted_stop - start])
