"""How a layer is cut for proof and storage: segments tile it exactly, and each is cut into chunks from its own start.

A *segment* is a stored file's run of the layer: the content of one large entry with its padding, or a run of everything between.
Because the grid restarts at every segment, a chunk never holds bytes of two large files, and a large file's chunks lie at multiples
of the chunk size in its stored file. Numbers: chunks count from 0 in the order of the layer; file 0 is the `rest` file, files from
1 on are the large entries' own.

A grid answers where bytes lie; it never says that they are right (`proof.chunk_index`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, final

from msgspec import Struct

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.header import padded
from mkfs.errors import IntegrityError
from mkfs.ranges import ByteRange
from mkfs.units import MIB

# One chunk is what a hit hashes on first use (0.7 ms at 1.4 GB/s) and what 32 bytes of index buy: 0.003 % of the layer.
CHUNK_BYTES: Final = MIB
# Entries of this size and more are stored as files of their own, at offset 0. Below it, a file would hold less than one chunk.
OWN_FILE_BYTES: Final = MIB
REST: Final = 0


@final
class Segment(Struct, frozen=True):
    """A run of the layer (`range`) and where it is stored: stored file number and the offset in it."""

    range: ByteRange
    file: int
    file_offset: int


@final
class Span(Struct, frozen=True):
    """Part of a segment: bytes `range` of the layer lie in stored file `file` from `file_offset` on."""

    range: ByteRange
    file: int
    file_offset: int


@final
class Grid:
    """Segments that tile `[0, size_bytes)` exactly and fill each stored file from offset 0 without gaps. Raises `IntegrityError`
    otherwise.
    """

    __slots__ = ("_first_chunks", "_starts", "count", "file_sizes", "segments", "size_bytes")

    def __init__(self, size_bytes: int, segments: Iterable[Segment]) -> None:
        self.size_bytes = size_bytes
        self.segments = tuple(segments)
        self._starts: list[int] = []
        self._first_chunks: list[int] = []
        self.count = 0  # chunks
        self.file_sizes: dict[int, int] = {}  # bytes of each stored file
        at = 0
        for segment in self.segments:
            expected = self.file_sizes.get(segment.file, 0)
            if segment.range.start != at or not segment.range.length or segment.file < 0 or segment.file_offset != expected:
                raise IntegrityError(f"segments do not tile the layer (got {segment}, expected one at {at}, stored at {expected})")
            self._starts.append(at)
            self._first_chunks.append(self.count)
            self.count += -(-segment.range.length // CHUNK_BYTES)
            self.file_sizes[segment.file] = expected + segment.range.length
            at = segment.range.stop
        if at != size_bytes:
            raise IntegrityError(f"segments do not tile the layer (got {at} bytes, expected {size_bytes})")

    def chunk_range(self, number: int) -> ByteRange:
        """The bytes of the layer that chunk `number` holds: `CHUNK_BYTES`, or less at the end of a segment."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        at = bisect_right(self._first_chunks, number) - 1
        segment = self.segments[at].range
        start = segment.start + (number - self._first_chunks[at]) * CHUNK_BYTES
        return ByteRange(start, min(start + CHUNK_BYTES, segment.stop))

    def chunk_at(self, offset: int) -> int:
        """The number of the chunk that holds byte `offset` of the layer."""
        if not 0 <= offset < self.size_bytes:
            raise IndexError(offset)
        at = bisect_right(self._starts, offset) - 1
        return self._first_chunks[at] + (offset - self._starts[at]) // CHUNK_BYTES

    def chunks(self, wanted: ByteRange) -> range:
        """The numbers of all chunks that share a byte with `wanted`; an empty range has none."""
        if not wanted.length:
            return range(0)
        return range(self.chunk_at(wanted.start), self.chunk_at(wanted.stop - 1) + 1)

    def place(self, number: int) -> tuple[int, int]:
        """Where chunk `number` is stored: stored file and offset in it."""
        start = self.chunk_range(number).start
        segment = self.segments[bisect_right(self._starts, start) - 1]
        return segment.file, segment.file_offset + start - segment.range.start

    def spans(self, wanted: ByteRange) -> Iterator[Span]:
        """Cuts `wanted` at the segments' borders, in order."""
        at = bisect_right(self._starts, wanted.start) - 1
        start = wanted.start
        while start < wanted.stop:
            segment = self.segments[at]
            stop = min(wanted.stop, segment.range.stop)
            yield Span(ByteRange(start, stop), segment.file, segment.file_offset + start - segment.range.start)
            start, at = stop, at + 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and (self.size_bytes, self.segments) == (other.size_bytes, other.segments)

    def __hash__(self) -> int:
        return hash((self.size_bytes, self.segments))

    def __repr__(self) -> str:
        return f"<Grid of {self.size_bytes} bytes, {len(self.segments)} segments, {self.count} chunks>"


def grid_of(table: Table | None, size_bytes: int) -> Grid:
    """The grid of a layer: from its table, or of one file where there is none (a raw layer).

    The table may be provisional: any table gives a grid that tiles the layer, a wrong one only stores it in odd pieces.
    """
    own: list[ByteRange] = []
    if table is None:
        own = [ByteRange(0, size_bytes)] if size_bytes >= OWN_FILE_BYTES else []
    else:
        at = 0
        for entry in table:
            content = own_run(entry, size_bytes)
            if content is not None and content.start >= at:
                own.append(content)
                at = content.stop
    return Grid(size_bytes, _segments(own, size_bytes))


def own_run(entry: Entry, size_bytes: int | None = None) -> ByteRange | None:
    """What of a tar (of `size_bytes`, if that is known) is stored as a file of its own for `entry`: its content with its padding.
    None where it is part of the rest.
    """
    if entry.kind is not EntryKind.FILE:
        return None
    stop = entry.content_offset + padded(entry.size_bytes)
    content = ByteRange(entry.content_offset, stop if size_bytes is None else min(stop, size_bytes))
    return content if content.length >= OWN_FILE_BYTES else None


def _segments(own: list[ByteRange], size_bytes: int) -> Iterator[Segment]:
    """The `own` ranges (in order, apart) as files of their own, and everything between them in the rest file."""
    at = rest = 0
    for number, content in enumerate(own, start=REST + 1):
        if at < content.start:
            yield Segment(ByteRange(at, content.start), REST, rest)
            rest += content.start - at
        yield Segment(content, number, 0)
        at = content.stop
    if at < size_bytes:
        yield Segment(ByteRange(at, size_bytes), REST, rest)
