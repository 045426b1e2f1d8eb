"""One repository of one registry: its tags resolved, its documents proven, its blobs read by range.

What `resolve` and `read_blob` hand out matched a digest. What `open_range` hands out is unproven; whoever reads it proves it.

Where a blob is kept elsewhere (a signed address at a storage host), that address is remembered and asked directly, until the
storage refuses it or a transfer from it breaks (`addresses`).
"""

import io
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import BinaryIO, Final, final

import trio

from mkfs.errors import BadDocument, Mismatch, NotAuthorised, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange
from mkfs.registry.addresses import Addresses
from mkfs.registry.exchange import Exchange
from mkfs.registry.manifests import DAMAGED_HINT, ResolvedManifest, read_manifest
from mkfs.registry.pushes import Pushes
from mkfs.registry.referrers import Referrers
from mkfs.registry.replies import delivered, refusal
from mkfs.registry.transport import Answer
from mkfs.units import MIB

_log: Final = logging.getLogger(__name__)

DOCUMENT_LIMIT_BYTES: Final = 16 * MIB  # of what is read whole into memory: all the small layers of a kit have no more together
_HASHED_AT_ONCE_BYTES: Final = MIB  # some ms of hashing; more of it goes to a thread, as others wait for the loop

_CONTENT: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# What storage hosts say to a signed address that is too old: S3 403, R2 400 and 403, Azure 403, others 401.
_EXPIRED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Repository:
    """Implements `registry.ranges.RangeReader`. Made by `RegistryClient.repository`; lives as long as its client.

    `reading` and `pushing` are its two ways to the registry: who only reads never asks for more.
    """

    def __init__(self, reading: Exchange, pushing: Exchange) -> None:
        self.registry, self.name = reading.registry, reading.repository
        self._exchange, self._origin = reading, reading.origin
        self._referrers = Referrers(reading)
        self._pushes = Pushes(pushing)
        self._addresses = Addresses()

    async def resolve(self, reference: Reference) -> ResolvedManifest:
        """The manifest that `reference`, a name in this repository, names now: by its digest where it has one, else by its tag.

        Raises `NotFound`, `NotAuthorised`, `Unreachable` (at the latest after 30 s without an answer), `Mismatch` when the bytes
        are not what the reference or the registry itself says they are, `BadDocument` when they are too many.
        """
        return await read_manifest(self._exchange, reference)

    async def referrers(self, subject: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The manifests that say they are about `subject`, of one artifact type or of all; () where there are none.

        At most a thousand descriptors with what the list says of them, annotations included: **unproven**. `resolve` each by its
        digest, and look at its own `subject`. Raises `NotAuthorised`, `Unreachable`, `Mismatch` and `BadDocument` for a list that
        makes no sense.
        """
        return await self._referrers.of(subject, artifact_type)

    async def push_blob(self, blob: Descriptor, content: bytes | BinaryIO) -> None:
        """Sends `content`, unless the repository has it. A file is read in a thread, from its beginning, some at a time, and must
        allow seeking: it is read again where a request is repeated.

        Raises `Mismatch` where `content` is not what `blob` says, `NotAuthorised`, `NotFound` (no such repository, and the registry
        makes none), `Unreachable` (also where a registry takes no uploads). Cancelling leaves an upload that the registry forgets.
        """
        await self._pushes.push_blob(blob, content)

    async def push_manifest(self, data: bytes, media_type: str, tag: str | None = None) -> Digest:
        """Stores a manifest or index under its digest, and under `tag`. What it names must have been pushed before.

        One with a `subject` is found by `referrers` afterwards: where the registry does not list it, the list under the fallback
        tag is changed. No registry locks that tag. Who changes it at the same moment may drop our entry; that is noticed, and
        mended, only until this returns.

        Raises as `push_blob`, and `BadDocument` where `data` is no manifest, or the tag holds something that is no list.
        """
        return await self._pushes.push_manifest(data, media_type, tag)

    async def read_blob(self, blob: Descriptor, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> Proven:
        """All of a small blob, proven. One that came wrong is asked for once more, past caches on the way.

        Takes memory for the blob once. Raises `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch`; `BadDocument` above
        `limit_bytes`, before anything is asked.
        """
        if blob.size_bytes > limit_bytes:
            what = f"too large for a document (got {blob.size_bytes} bytes, expected at most {limit_bytes})"
            raise BadDocument(what, f"blob {blob.digest}")
        if blob.data is not None or not blob.size_bytes:
            return prove(blob, blob.data or b"")
        try:
            return await self._read_proven(blob, fresh=False)
        except Mismatch:
            _log.info("%s: a document came wrong; asking past caches", self._origin.authority)
        try:
            return await self._read_proven(blob, fresh=True)
        except Mismatch as error:
            raise Mismatch(error.what, f"{self._origin.authority}/{self.name}, {blob.media_type}", DAMAGED_HINT) from error

    async def head_blob(self, blob: Descriptor) -> None:
        """Returns if this repository has `blob`, and would let us read it.

        Where a HEAD does not say so (storage signed for GET only, a server that knows no HEAD, a pull-through cache that answers it
        with 404 until the first GET), a GET of one byte does. Raises
        `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch` for a descriptor of no bytes that should be some.
        """
        if blob.data is not None or not blob.size_bytes:
            prove(blob, blob.data or b"")  # whoever wrote the descriptor has the bytes
            return

        async def work() -> None:
            url = self._exchange.url("blobs", str(blob.digest))
            with suppress(NotAuthorised):  # Artifactory says so to HEAD alone
                async with self._exchange.ask(url, {}, method="HEAD") as answer:
                    if answer.status == HTTPStatus.OK and answer.header("Content-Length") == str(blob.size_bytes):
                        return
            async with self.open_range(blob, ByteRange(0, 1)):
                return

        await self._exchange.persist(work)

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator["Body", None]:
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

    async def _body(self, answer: Answer, blob: Descriptor, wanted: ByteRange) -> "Body":
        host = answer.url.origin.authority
        elsewhere = answer.url.origin != self._origin
        if answer.status in _CONTENT:
            body = Body(answer, delivered(answer, blob, wanted, host))
            if elsewhere:
                self._addresses.keep(blob.digest, answer.url)
            return body
        said = await answer.explanation()
        if elsewhere and answer.status in _EXPIRED:  # fresh from the registry, so no matter of credentials
            raise Unreachable(f"the storage host refuses the address the registry gave (status {answer.status})", host)
        raise refusal(answer, "" if elsewhere else said, f"{self.name}, blob {blob.digest}", host)

    async def _read_proven(self, blob: Descriptor, *, fresh: bool) -> Proven:
        async def work() -> bytes:
            # `BytesIO` hands out the bytes it holds; joining pieces would need room for them twice.
            received = io.BytesIO()
            async with self.open_range(blob, ByteRange(0, blob.size_bytes), fresh=fresh) as body:
                async for piece in body:
                    received.write(piece)
            return received.getvalue()

        data = await self._exchange.persist(work)
        if len(data) < _HASHED_AT_ONCE_BYTES:
            return prove(blob, data)
        return await trio.to_thread.run_sync(prove, blob, data)


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

    async def receive_into(self, target: memoryview) -> int:
        """See `registry.ranges.BlobStream`."""
        count = await self._answer.receive_into(target)
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
