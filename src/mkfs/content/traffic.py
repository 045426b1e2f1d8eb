"""What came from a registry for one layer: a reader of ranges that counts, and tells of what failed.

Everything that is ever asked of a layer's blob passes here, headers and indexes' chunks and whole fetches alike, so `fetched_bytes`
is what the layer cost.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import final

from msgspec import Struct

from mkfs.content.last_errors import LastErrors
from mkfs.errors import MkfsError
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import BlobStream, RangeReader


@final
class TrafficStatistics(Struct, frozen=True):
    """A moment's counts since the beginning. `hosts` send bytes now; without any, those that did so last."""

    fetched_bytes: int
    requests: int
    failures: int  # requests that ended in an error, to be tried again or not
    hosts: tuple[str, ...]


@final
class Traffic:
    """Implements `registry.ranges.RangeReader` over another one. To be called on one loop."""

    __slots__ = ("_errors", "_label", "_last_host", "_open", "_reader", "failures", "fetched_bytes", "requests")

    def __init__(self, reader: RangeReader, label: str, errors: LastErrors) -> None:
        self._reader, self._label, self._errors = reader, label, errors
        self._open: dict[str, int] = {}  # answers under way, by who sends them
        self._last_host = ""
        self.fetched_bytes = self.requests = self.failures = 0

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator[BlobStream, None]:
        """See `RangeReader`."""
        self.requests += 1
        host = ""
        try:
            async with self._reader.open_range(blob, wanted, fresh=fresh) as stream:
                host = self._last_host = stream.host
                self._open[host] = self._open.get(host, 0) + 1
                try:
                    yield _Counted(stream, self)
                finally:
                    self._open[host] -= 1
                    if not self._open[host]:
                        del self._open[host]
        except MkfsError as error:
            self.failures += 1
            self._errors.tried(error, self._label, host)
            raise

    @property
    def hosts(self) -> tuple[str, ...]:
        """Who sends bytes now; without anybody, who did so last."""
        return tuple(sorted(self._open)) or ((self._last_host,) if self._last_host else ())

    def statistics(self) -> TrafficStatistics:
        """A snapshot; cheap enough for every poll."""
        return TrafficStatistics(self.fetched_bytes, self.requests, self.failures, self.hosts)


@final
class _Counted:
    """A `BlobStream` whose bytes are counted."""

    __slots__ = ("_stream", "_traffic")

    def __init__(self, stream: BlobStream, traffic: Traffic) -> None:
        self._stream, self._traffic = stream, traffic

    @property
    def range(self) -> ByteRange:
        return self._stream.range

    @property
    def host(self) -> str:
        return self._stream.host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._traffic.fetched_bytes += len(piece)
            yield piece

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:
        count = await self._stream.receive_into(target, follow)
        self._traffic.fetched_bytes += count
        return count
