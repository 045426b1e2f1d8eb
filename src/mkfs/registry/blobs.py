"""Blobs of one repository at one host: opened by range, asked for by HEAD. Nothing that comes from here is proven.

Where a blob is kept elsewhere (a signed address at a storage host), that address is remembered and asked directly, until the
storage refuses it or a transfer from it breaks (`addresses`).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final, final

from mkfs.errors import NotAuthorised, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.addresses import Addresses
from mkfs.registry.answer import Answer
from mkfs.registry.exchange import Exchange
from mkfs.registry.replies import delivered, refusal

_CONTENT: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# What storage hosts say to a signed address that is too old: S3 403, R2 400 and 403, Azure 403, others 401.
_EXPIRED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Body:
    """A `registry.ranges.BlobStream`: exactly `range.length` bytes, or an error."""

    def __init__(self, answer: Answer, promised: ByteRange) -> None:
        self.range = promised
        self.host = answer.url.origin.authority
        self._answer = answer
        self._left = promised.length

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises `Unreachable` when the body is cut, stalls, or is longer than promised."""
        try:
            piece = await anext(self._answer)
        except StopAsyncIteration:
            if self._left:
                raise Unreachable(f"the body ended {self._left} bytes early (expected {self.range.length})", self.host) from None
            raise
        self._count(len(piece))
        return piece

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:
        """See `registry.ranges.BlobStream`."""
        count = await self._answer.receive_into(target, follow)
        if not count and self._left:
            raise Unreachable(f"the body ended {self._left} bytes early (expected {self.range.length})", self.host)
        self._count(count)
        return count

    async def finish(self) -> None:
        """Receives the end, if all bytes have come: only then can the connection serve the next request. Raises `Unreachable`."""
        if not self._left:
            self._count(await self._answer.receive_into(memoryview(bytearray(1))))

    def _count(self, received_bytes: int) -> None:
        self._left -= received_bytes
        if self._left < 0:
            raise Unreachable(f"the body is longer than promised (expected {self.range.length} bytes)", self.host)


@final
class Blobs:
    """The blobs that one exchange leads to. Any number of reads may run at once."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._addresses = Addresses()

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool) -> AsyncGenerator[Body, None]:
        """See `registry.ranges.RangeReader`. Raises `ValueError` for a range that is empty or not within the blob."""
        whole = ByteRange(0, blob.size_bytes)
        if not wanted.length or not whole.covers(wanted):
            raise ValueError(f"{wanted} is no range to ask for in {whole}")
        headers = {} if wanted == whole else {"Range": f"bytes={wanted.start}-{wanted.stop - 1}"}
        if fresh:
            headers["Cache-Control"] = "no-cache"
            self._addresses.drop(blob.digest)
        try:
            known = self._addresses.get(blob.digest)
            if known is None:
                async with self._exchange.ask(self._exchange.url("blobs", str(blob.digest)), headers) as answer:
                    body = await self._body(answer, blob, wanted)
                    yield body
                    await body.finish()
                return
            async with self._exchange.ask(known, headers) as answer:
                if answer.status not in _EXPIRED:
                    body = await self._body(answer, blob, wanted)
                    yield body
                    await body.finish()
                    return
                await answer.explanation()  # for the connection's sake
            async with self._addresses.renewal(blob.digest) as (renewed, answered):
                url = renewed or self._exchange.url("blobs", str(blob.digest))
                async with self._exchange.ask(url, headers) as answer:
                    body = await self._body(answer, blob, wanted)
                    answered()
                    yield body
                    await body.finish()
        except Unreachable:
            self._addresses.drop(blob.digest)
            raise

    async def check(self, blob: Descriptor) -> None:
        """Returns if `blob`, which is not empty, is there and would be given to us.

        Where a HEAD does not say so (storage signed for GET only, a server that refuses HEAD, a pull-through cache that answers it
        with 404 until the first GET), a GET of one byte does. Raises `NotFound`, `NotAuthorised`, `Unreachable`.
        """

        async def work() -> None:
            url = self._exchange.url("blobs", str(blob.digest))
            with suppress(NotAuthorised):  # Artifactory says so to HEAD alone
                async with self._exchange.ask(url, {}, method="HEAD") as answer:
                    if answer.status == HTTPStatus.OK and answer.header("Content-Length") == str(blob.size_bytes):
                        return
            async with self.open_range(blob, ByteRange(0, 1), fresh=False):
                return

        await self._exchange.persist(work)

    async def _body(self, answer: Answer, blob: Descriptor, wanted: ByteRange) -> Body:
        host = answer.url.origin.authority
        elsewhere = answer.url.origin != self._exchange.origin
        if answer.status in _CONTENT:
            body = Body(answer, delivered(answer, blob, wanted, host))
            if elsewhere:
                self._addresses.keep(blob.digest, answer.url)
            return body
        said = await answer.explanation()
        if elsewhere and answer.status in _EXPIRED:  # fresh from the registry, so no matter of credentials
            raise Unreachable(f"the storage host refuses the address the registry gave (status {answer.status})", host)
        raise refusal(answer, "" if elsewhere else said, f"{self._exchange.repository}, blob {blob.digest}", host)
