"""What is worth fetching ahead of the reads of one layer: streams of reads (`content.streams`), and what model files say of
themselves.

A model file begins with a header that says where its tensors are. Whoever reads a file begins with its header; from then on, a read
within a tensor that continues nothing is known to go on to the tensor's end.
"""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar, final

from mkfs.content.budget import Budget
from mkfs.content.prefetch import Prefetch
from mkfs.content.reads import Buffer
from mkfs.content.streams import Streams
from mkfs.ranges import ByteRange
from mkfs.tensors.header import Need, read_header
from mkfs.tensors.placement import Placement
from mkfs.units import MIB

T = TypeVar("T")

# Of the part of a file that has to be read before the file counts as read: a header alone says nothing of the next shard.
_READ_PART: Final = 2
# What a header is read from at first; most fit in.
_FIRST_BYTES: Final = MIB


class InThread(Protocol):
    """Runs work in a thread."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """What it returns."""


@final
@dataclass(slots=True, eq=False)
class ModelFile:
    """A file with tensors. `range` is its place in the layer; `on_read` is called when most of it was read, once."""

    range: ByteRange
    has_header: bool
    on_read: Callable[[], None] = field(default=lambda: None)
    placement: Placement | None = None
    _asked: bool = False
    _read_bytes: int = 0

    def was_read(self, length: int) -> None:
        """Counts what was read of it."""
        before, self._read_bytes = self._read_bytes, self._read_bytes + length
        enough = -(-self.range.length // _READ_PART)
        if before < enough <= self._read_bytes:
            self.on_read()

    def likely_stop(self, offset: int) -> int | None:
        """Where the tensor ends that holds byte `offset` of the layer, as an offset in the layer."""
        tensor = None if self.placement is None else self.placement.tensor_at(offset - self.range.start)
        return None if tensor is None else self.range.start + tensor.stop

    def is_unknown(self, wanted: ByteRange) -> bool:
        """Whether its header, which `wanted` touches, should be read now. Says so once."""
        unknown = self.has_header and not self._asked and wanted.start == self.range.start
        self._asked = self._asked or unknown
        return unknown

    async def learn(self, read: Callable[[ByteRange], Awaitable[Buffer]], in_thread: InThread) -> None:
        """Reads its header. Raises what `read` raises."""
        size_bytes = min(_FIRST_BYTES, self.range.length)
        while True:
            start = await read(ByteRange(self.range.start, self.range.start + size_bytes))
            said = await in_thread(partial(read_header, memoryview(start), self.range.length))
            if not isinstance(said, Need):
                self.placement = said
                return
            size_bytes = said.bytes


@final
class Readahead:
    """One layer's. `files` are the model files in it, in the order of the layer."""

    def __init__(self, mode: Prefetch, budget: Budget) -> None:
        self._mode = mode
        self._streams = Streams(budget)
        self._files: Sequence[ModelFile] = ()
        self._starts: list[int] = []
        self._begun = False

    def know(self, files: Sequence[ModelFile]) -> None:
        """Says which model files the layer has."""
        self._files = sorted(files, key=lambda file: file.range.start)
        self._starts = [file.range.start for file in self._files]

    def begun(self, wanted: ByteRange) -> None:
        """A published layer is read: its first read counts as that of the whole file, which is here by then."""
        if not self._begun:
            self._begun = True
            file = self._file_at(wanted.start)
            if file is not None:
                file.was_read(file.range.length)

    def ahead(self, wanted: ByteRange, now: float, *, widest_bytes: int, stop: int) -> ByteRange | None:
        """Notes the read of `wanted` (not empty); what to fetch ahead of it, see `Streams.follow`."""
        if self._mode is Prefetch.NONE:
            return None
        file, likely = self._file_at(wanted.start), None
        if file is not None:
            file.was_read(wanted.length)
            likely = file.likely_stop(wanted.stop - 1)
        return self._streams.follow(wanted, now, widest_bytes=widest_bytes, stop=stop, likely=likely)

    def expect(self, begin: int, now: float, *, widest_bytes: int, stop: int) -> ByteRange | None:
        """What to fetch for a reader who is about to begin at `begin`."""
        return self._streams.expect(begin, now, widest_bytes=widest_bytes, stop=stop)

    def unknown(self, wanted: ByteRange) -> ModelFile | None:
        """The model file whose header `wanted` touches and nobody has read yet. Says so once."""
        file = self._file_at(wanted.start)
        return file if file is not None and file.is_unknown(wanted) else None

    def _file_at(self, offset: int) -> ModelFile | None:
        number = bisect_right(self._starts, offset) - 1
        return self._files[number] if number >= 0 and offset < self._files[number].range.stop else None
