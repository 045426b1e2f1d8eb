"""The chunk index of a layer whose end nobody knows before it comes, made while its content passes by in order.

It is what `grid_of` and `digests_of` make of the whole. That can be known on the way, as a header comes before what it tells of: a
segment of its own begins where one has said so, and what lies between these is rest.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Final, final

from mkfs.archive.tar import TarScanner
from mkfs.formats.plan import Compression
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import CHUNK_BYTES, OWN_FILE_BYTES, REST, Grid, Segment, Span, own_run
from mkfs.ranges import ByteRange

_ENDLESS: Final = 2**63


@final
class GrowingIndex:
    """Takes the content of one layer: a tar or one file. `size_bytes`: how much came so far.

    `BadArchive` from `feed` and `finish` says why it is no tar; the object is spent then. May run in threads, one at a time.
    """

    __slots__ = (
        "_chunk",
        "_chunk_bytes",
        "_coming",
        "_digests",
        "_entries",
        "_file",
        "_last_file",
        "_layer",
        "_rest_bytes",
        "_scanner",
        "_starts",
        "size_bytes",
    )

    def __init__(self, layer: Digest, *, tar: bool) -> None:
        self._layer = layer
        self._scanner = TarScanner(None, f"layer {layer}") if tar else None
        self._entries = 0  # of the scanner's, how many were looked at
        self._coming: deque[ByteRange] = deque()  # segments of their own that are not over; the first may have begun
        self._starts: list[tuple[int, int, int]] = []  # of each segment: its start, its file, where it begins in that
        self._last_file, self._rest_bytes = REST, 0
        self._chunk, self._chunk_bytes = hashlib.sha256(), 0
        self._digests = bytearray()
        self.size_bytes = 0

    def feed(self, data: memoryview) -> list[Span]:
        """Takes the next bytes; says where each run of them is stored.

        Of one file the first must be at least `OWN_FILE_BYTES`, or all.
        """
        start = self.size_bytes
        if self._scanner is not None:
            self._scanner.feed(start, data)
            entries = self._scanner.entries_from(self._entries)
            self._entries += len(entries)
            self._coming.extend(run for run in map(own_run, entries) if run is not None)
        elif not start and len(data) >= OWN_FILE_BYTES:
            self._coming.append(ByteRange(0, _ENDLESS))
        self.size_bytes += len(data)
        spans = []
        for span in self._cut(ByteRange(start, self.size_bytes)):
            self._hash(data[span.range.slice_from(start)])
            spans.append(span)
        return spans

    def _cut(self, piece: ByteRange) -> Iterator[Span]:
        """Cuts `piece` where segments begin, and ends the chunk there. Take a span only when the one before it was hashed."""
        at = piece.start
        while at < piece.stop:
            if self._coming and at == self._coming[0].stop:
                self._coming.popleft()
            own = self._coming[0] if self._coming and at >= self._coming[0].start else None
            if own is not None and at == own.start:
                self._last_file += 1
                self._begin(at, self._last_file, 0)
            elif own is None and (not self._starts or self._starts[-1][1] != REST):
                self._begin(at, REST, self._rest_bytes)
            border = own.stop if own is not None else self._coming[0].start if self._coming else piece.stop
            stop = min(border, piece.stop)
            start, file, file_offset = self._starts[-1]
            yield Span(ByteRange(at, stop), file, file_offset + at - start)
            self._rest_bytes += stop - at if file == REST else 0
            at = stop

    def _begin(self, at: int, file: int, file_offset: int) -> None:
        self._end_chunk()
        self._starts.append((at, file, file_offset))

    def _hash(self, data: memoryview) -> None:
        while data:
            part = data[: CHUNK_BYTES - self._chunk_bytes]
            self._chunk.update(part)
            self._chunk_bytes += len(part)
            if self._chunk_bytes == CHUNK_BYTES:
                self._end_chunk()
            data = data[len(part) :]

    def _end_chunk(self) -> None:
        if self._chunk_bytes:
            self._digests += self._chunk.digest()
            self._chunk, self._chunk_bytes = hashlib.sha256(), 0

    def finish(self, compression: Compression, stored_bytes: int, diff_id: Digest | None = None) -> ChunkIndex:
        """The index, now that all bytes came, of a layer that is stored so; `diff_id` is their digest."""
        self._end_chunk()
        if self._scanner is not None:
            self._scanner.finish(self.size_bytes)
        stops = [*(start for start, _, _ in self._starts[1:]), self.size_bytes]
        segments = (Segment(ByteRange(start, stop), file, at) for (start, file, at), stop in zip(self._starts, stops, strict=False))
        table = None if self._scanner is None else self._scanner.table()
        grid = Grid(self.size_bytes, segments)
        digests = bytes(self._digests)
        return ChunkIndex(self._layer, grid, digests, table, compression=compression, stored_bytes=stored_bytes, diff_id=diff_id)
