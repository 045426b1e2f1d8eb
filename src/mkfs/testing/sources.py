"""A `RangeReader` over memory, without HTTP: for tests of whoever proves bytes, under an autojump clock.

The faults are the registry's own (`testing.faults`), read as a client would see them: `Status(503)` or `Reset` is `Unreachable`,
404 `NotFound`, 401 and 403 `NotAuthorised`; `IgnoreRange` delivers the whole blob; `Flip` a wrong byte; `ShortBody`, `LongBody`,
`WrongContentRange` and `Encoded` are `Unreachable`, where the client would notice; `Stall` and `Withhold` hold until released.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import final

import trio

from mkfs.errors import MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import OtherSize, Rest
from mkfs.testing.answers import Answer, Break, Cut, Hold, Pause, Request
from mkfs.testing.bodies import BlobBody, as_body
from mkfs.testing.faults import Faults
from mkfs.testing.log import Log, Served

_ERRORS: Mapping[int, type[MkfsError]] = {401: NotAuthorised, 403: NotAuthorised, 404: NotFound}


@final
class MemoryStream:
    """A `BlobStream`: the body of one answer."""

    def __init__(self, reader: "MemoryReader", answer: Answer, served: Served, promised: ByteRange) -> None:
        self._reader, self._served = reader, served
        self._items = answer.items()
        self._left = promised.length
        self._rest = Rest()
        self.range = promised
        self.host = reader.host

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes, up to 1 MiB, after a checkpoint. Raises `Unreachable` where the body is not what was promised."""
        await trio.lowlevel.checkpoint()
        for item in self._items:
            if not isinstance(item, bytes):
                await self._reader.walk(item)
                continue
            self._left -= len(item)
            if self._left < 0:
                raise Unreachable(f"the answer is longer than promised (expected {self.range.length} bytes)", self.host)
            self._served.sent_bytes += len(item)
            return item
        if self._left:
            raise Unreachable(f"the answer ended {self._left} bytes early (expected {self.range.length} bytes)", self.host)
        raise StopAsyncIteration

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:  # noqa: ARG002 - no thread
        """See `BlobStream`."""
        return await self._rest.pour(self, target)


@final
class MemoryReader:
    """Reads of the blobs of one repository that is in memory.

    `stall_seconds` is how long it waits at a held answer before `Unreachable`, as the client would; by default for ever.
    """

    def __init__(
        self, blobs: Mapping[Digest, BlobBody | bytes], host: str = "registry.test", *, stall_seconds: float = math.inf
    ) -> None:
        self.blobs = {digest: as_body(content) for digest, content in blobs.items()}
        self.host = host
        self.log = Log()
        self.faults = Faults()
        self._stall_seconds = stall_seconds

    def bytes_sent(self, digest: Digest | None = None) -> int:
        """Bytes delivered of `digest`, or of all."""
        return self.log.bytes_sent(digest)

    def requests(self, digest: Digest | None = None) -> tuple[Served, ...]:
        """What was asked of `digest`, or of all. A `fresh` one has `cache-control` among its header names."""
        return self.log.requests(digest)

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator[MemoryStream, None]:
        """See `registry.ranges.RangeReader`."""
        await trio.lowlevel.checkpoint()
        header_names = ("cache-control", "range") if fresh else ("range",)
        request = Request("GET", f"/v2/memory/blobs/{blob.digest}")
        answer = self.faults.apply(request, self._answer(blob.digest, wanted))
        served = Served("GET", request.path, "memory", blob.digest, wanted, answer.status, header_names)
        self.log.add(served)
        for step in answer.before:
            await self.walk(step)
        yield MemoryStream(self, answer, served, self._promised(answer, blob, wanted))

    def _answer(self, digest: Digest, wanted: ByteRange) -> Answer:
        content = self.blobs.get(digest)
        if content is None:
            return Answer(404, digest=digest, asked=wanted)
        headers = {"Content-Range": _content_range(wanted, content.size_bytes)}
        return Answer(206, headers, content, wanted, digest, wanted)

    def _promised(self, answer: Answer, blob: Descriptor, wanted: ByteRange) -> ByteRange:
        if not answer.delivers_content:
            error = _ERRORS.get(answer.status, Unreachable)
            raise error(f"the registry answered {answer.status} for {blob.digest}", self.host)
        whole_bytes = self.blobs[blob.digest].size_bytes if blob.digest in self.blobs else blob.size_bytes
        if whole_bytes != blob.size_bytes:
            raise OtherSize(f"not a blob of {blob.size_bytes} bytes (it has {whole_bytes})", self.host)
        if answer.status == HTTPStatus.OK:
            promised = ByteRange(0, blob.size_bytes)
        elif answer.headers.get("Content-Range") == _content_range(wanted, blob.size_bytes):
            promised = wanted
        else:
            raise Unreachable(f"not the range asked for (expected {wanted})", self.host)
        if "Content-Encoding" in answer.headers or (answer.announced and answer.span.length != promised.length):
            raise Unreachable(f"not the length asked for (expected {promised.length} bytes)", self.host)
        return promised

    async def walk(self, step: Break) -> None:
        """Waits, or breaks the connection, as `step` says."""
        match step:
            case Pause(seconds):
                await trio.sleep(seconds)
            case Hold(gate):
                with trio.move_on_after(self._stall_seconds) as scope:
                    await gate.passed()
                if scope.cancelled_caught:
                    raise Unreachable(f"no byte for {self._stall_seconds:.0f} s", self.host)
            case Cut(reset):
                raise Unreachable("connection reset" if reset else "connection closed early", self.host)


def _content_range(wanted: ByteRange, size_bytes: int) -> str:
    return f"bytes {wanted.start}-{wanted.stop - 1}/{size_bytes}"
