"""The bytes of one file, out of memory or out of a layer. A `Content` is asked only for ranges within the file."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol, final

from mkfs.content.reads import Buffer, Cause, LayerReads, Obstacle
from mkfs.errors import MkfsError
from mkfs.ranges import ByteRange
from mkfs.tree.nodes import Extent, File


class Content(Protocol):
    """What an open file reads from. Both reads answer exactly `stop - start` bytes of the file from `start`, or fail."""

    size_bytes: int

    def read_now(self, start: int, stop: int) -> Buffer | None:
        """The bytes if nothing needs to be waited for, else None."""

    async def read(self, start: int, stop: int) -> Buffer:
        """The bytes, waiting for them. Raises what the layer raises."""

    def obstacle(self, start: int, stop: int) -> Obstacle:
        """What a read that cannot be answered at once waits for now: see `LayerReads`."""


def content_of(file: File, layers: Sequence[LayerReads]) -> Content:
    """Where the bytes of `file` are; `layers` is parallel to the plan's."""
    return InlineContent(file.data) if file.layer is None else LayerContent(file.size_bytes, layers[file.layer], file.extents)


@final
class InlineContent:
    """A small file that came with the plan (a Kitfile): always in memory."""

    __slots__ = ("_data", "size_bytes")

    def __init__(self, data: bytes) -> None:
        self._data, self.size_bytes = data, len(data)

    def read_now(self, start: int, stop: int) -> Buffer:
        """The bytes; there is nothing to wait for."""
        return self._data[start:stop]

    async def read(self, start: int, stop: int) -> Buffer:
        """The same as `read_now`."""
        return self._data[start:stop]

    def obstacle(self, start: int, stop: int) -> Obstacle:  # noqa: ARG002 - the protocol's signature
        """Nothing is ever waited for."""
        return Obstacle(Cause.DISK)


@final
class LayerContent:
    """A file in a layer. `extents` tile `[0, size_bytes)` in order; nearly every file has exactly one."""

    __slots__ = ("_extents", "_layer", "_shift", "_starts", "size_bytes")

    def __init__(self, size_bytes: int, layer: LayerReads, extents: Sequence[Extent]) -> None:
        self.size_bytes, self._layer, self._extents = size_bytes, layer, extents
        self._starts = [extent.file_offset for extent in extents]
        self._shift = extents[0].layer_offset if len(extents) == 1 else None

    def read_now(self, start: int, stop: int) -> Buffer | None:
        """The bytes if the layer has all of them at hand."""
        if self._shift is not None:
            data = self._layer.read_now(ByteRange(start + self._shift, stop + self._shift))
            return None if data is None else _exactly(stop - start, data)
        parts = []
        for span in self._spans(start, stop):
            part = self._layer.read_now(span)
            if part is None:
                return None
            parts.append(_exactly(span.length, part))
        return b"".join(parts)

    async def read(self, start: int, stop: int) -> Buffer:
        """The bytes, extent after extent."""
        parts = [_exactly(span.length, await self._layer.read(span)) for span in self._spans(start, stop)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def obstacle(self, start: int, stop: int) -> Obstacle:
        """Of the first extent that is read."""
        return self._layer.obstacle(next(self._spans(start, stop)))

    def _spans(self, start: int, stop: int) -> Iterator[ByteRange]:
        """The ranges of the layer that hold `[start, stop)` of the file, in order."""
        number = bisect_right(self._starts, start) - 1
        while start < stop:
            extent = self._extents[number]
            end = min(stop, extent.file_offset + extent.length)
            shift = extent.layer_offset - extent.file_offset
            yield ByteRange(start + shift, end + shift)
            start, number = end, number + 1


def _exactly(length: int, data: Buffer) -> Buffer:
    """`data`, if it is as long as was asked for. The kernel pads a short answer with zeros, and zeros are wrong bytes."""
    if len(data) != length:
        raise MkfsError(f"a layer answered {len(data)} bytes (expected {length})")
    return data
