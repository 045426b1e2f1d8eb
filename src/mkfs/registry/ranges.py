"""The seam between whoever gets bytes and whoever proves them: ranged reads of a blob.

Implementations: `registry.repository` (HTTP), `mkfs.testing` (memory, with faults). `content/` knows only this file of the room.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange


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


class RangeReader(Protocol):
    """Reads of the blobs of one repository. Any number of reads may run at once; cancelling one leaves the others alone."""

    def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AbstractAsyncContextManager[BlobStream]:
        """Asks for `wanted` (non-empty, within the blob). `fresh` asks caches on the way to get it anew (`Cache-Control:
        no-cache`).

        One try: whoever proves the bytes decides about the next. Raises `NotFound`, `NotAuthorised` (credentials were tried anew),
        `Unreachable` (also for an answer that is not exactly the range or the whole blob).
        """
