"""The seam between whoever gets bytes and whoever proves them: ranged reads of a blob.

Implementations: `registry.repository` (HTTP), `registry.layout` (a directory), `mkfs.testing.sources` (memory, with faults). What
fetches layers in `content/` knows only this file of the room; what describes an artifact asks a repository itself.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, final

from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange


@final
class OtherSize(Unreachable):
    """A host says that all of the blob has another size than its descriptor has: a copy that was cut, or a manifest that is wrong.

    What another try may mend. Said each time, it is a verdict (`content.receive`).
    """


class BlobStream(Protocol):
    """The body of one answer. Bytes of it are unproven."""

    @property
    def range(self) -> ByteRange:
        """What the body delivers. Covers what was asked; it is the whole blob `[0, size)` where the server ignored the range."""

    @property
    def host(self) -> str:
        """Who sends these bytes (`host[:port]`, after redirects), for evidence and messages. No path, no query."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes in order, in pieces of up to some MiB: exactly `range.length` of them, or an error.

        Raises `Unreachable` when the body is cut, stalls, or is longer than promised.
        """

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:
        """The next bytes into `target` (not empty), from its start; how many came, 0 at the end. Raises as iterating does.

        Comes back with what there is when there is a pause, so that progress is seen; the larger the target, the less a byte costs.
        Where a thread receives, it tells `follow` how many bytes have come so far, about every MiB: the core's own cache has them
        then. `follow` must not raise; it may be told nothing. A body is read in one of the two ways. Nothing touches `target` any
        more when this is left, cancelled or not.
        """


class RangeReader(Protocol):
    """Reads of the blobs of one repository. Any number of reads may run at once; cancelling one leaves the others alone."""

    def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AbstractAsyncContextManager[BlobStream]:
        """Asks for `wanted` (non-empty, within the blob). `fresh` asks caches on the way to get it anew (`Cache-Control:
        no-cache`).

        One try: whoever proves the bytes decides about the next. Raises `NotFound`, `NotAuthorised` (credentials were tried anew),
        `Unreachable` (also for an answer that is not exactly the range or the whole blob; `OtherSize` where that is why).
        """


@final
class Rest:
    """What is left of a piece: for streams that have pieces, and know no better way to `BlobStream.receive_into`."""

    __slots__ = ("_piece",)

    def __init__(self) -> None:
        self._piece = memoryview(b"")

    async def pour(self, pieces: AsyncIterator[bytes], target: memoryview) -> int:
        """The next bytes of `pieces` into `target`; see `BlobStream.receive_into`. Raises as the iterator does."""
        while not self._piece:
            try:
                self._piece = memoryview(await anext(pieces))
            except StopAsyncIteration:
                return 0
        count = min(len(target), len(self._piece))
        target[:count], self._piece = self._piece[:count], self._piece[count:]
        return count
