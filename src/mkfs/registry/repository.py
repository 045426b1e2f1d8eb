"""One repository of one registry: its tags resolved, its documents proven, its blobs read by range.

What `resolve` and `read_blob` hand out matched a digest. What `open_range` hands out is unproven; whoever reads it proves it.

Where a blob is kept elsewhere (a signed address at a storage host), that address is remembered and asked directly, until the
storage refuses it or a transfer from it breaks. Atomic between checkpoints: `_elsewhere` holds an address only if a blob's bytes
were promised from there.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final

import cachetools

from mkfs.errors import BadDigest, BadDocument, Mismatch, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest, Verifier
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES
from mkfs.oci.media_types import MANIFEST_ACCEPT
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange
from mkfs.registry.exchange import Exchange
from mkfs.registry.replies import delivered, is_web_page, no_web_page, refusal
from mkfs.registry.retries import persist
from mkfs.registry.transport import Answer, Transport
from mkfs.registry.urls import Origin, Url
from mkfs.units import MIB

DOCUMENT_LIMIT_BYTES: Final = 16 * MIB  # of what is read whole into memory: all the small layers of a kit have no more together
_ADDRESSES_KEPT: Final = 256  # a kit has some tens of layers

_DAMAGED_HINT: Final = "the registry's copy is damaged: push the artifact again"
_CONTENT: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# What storage hosts say to a signed address that is too old: S3 403, R2 400 and 403, Azure 403, others 401.
_EXPIRED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
@dataclass(frozen=True, slots=True)
class ResolvedManifest:
    """A manifest or index as the registry sent it. `digest` was computed from `data`; `media_type` is the Content-Type, a hint."""

    digest: Digest
    data: bytes = field(repr=False)
    media_type: str


@final
class Repository:
    """Implements `registry.ranges.RangeReader`. Made by `RegistryClient.repository`; lives as long as its client."""

    def __init__(self, *, name: str, origin: Origin, transport: Transport, exchange: Exchange) -> None:
        self.name = name
        self._origin, self._transport, self._exchange = origin, transport, exchange
        self._elsewhere: cachetools.LRUCache[Digest, Url] = cachetools.LRUCache(_ADDRESSES_KEPT)

    async def resolve(self, reference: Reference) -> ResolvedManifest:
        """The manifest that `reference`, a name in this repository, names now: by its digest where it has one, else by its tag.

        Raises `NotFound`, `NotAuthorised`, `Unreachable` (at the latest after 30 s without an answer), `Mismatch` when the bytes
        are not what the reference or the registry itself says they are, `BadDocument` when they are too many.
        """
        url = Url(self._origin, f"/v2/{self.name}/manifests/{reference.selector}")

        async def work() -> ResolvedManifest:
            async with self._exchange.ask(url, {"Accept": ", ".join(MANIFEST_ACCEPT)}) as answer:
                if answer.status != HTTPStatus.OK:
                    said = await answer.explanation() if answer.url.origin == self._origin else ""
                    raise refusal(answer, said, str(reference), answer.url.origin.authority)
                if is_web_page(answer):
                    raise no_web_page("manifest", answer.url.origin.authority)
                return _manifest(reference, answer, await answer.read(MANIFEST_LIMIT_BYTES))

        return await persist(work, self._transport.retried)

    async def read_blob(self, blob: Descriptor) -> Proven:
        """All of a small blob, proven. One that came wrong is asked for once more, past caches on the way.

        Raises `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch`; `BadDocument` above `DOCUMENT_LIMIT_BYTES`.
        """
        if blob.size_bytes > DOCUMENT_LIMIT_BYTES:
            what = f"too large for a document (got {blob.size_bytes} bytes, expected at most {DOCUMENT_LIMIT_BYTES})"
            raise BadDocument(what, f"blob {blob.digest}")
        if blob.data is not None or not blob.size_bytes:
            return prove(blob, blob.data or b"")
        try:
            return prove(blob, await self._read_whole(blob, fresh=False))
        except Mismatch:
            data = await self._read_whole(blob, fresh=True)
        try:
            return prove(blob, data)
        except Mismatch as error:
            raise Mismatch(error.what, f"{self._origin.authority}/{self.name}, {blob.media_type}", _DAMAGED_HINT) from error

    async def head_blob(self, blob: Descriptor) -> None:
        """Returns if this repository has `blob`, and would let us read it.

        Where a HEAD does not say so (storage signed for GET only, a server that knows no HEAD), a GET of one byte does. Raises
        `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch` for a descriptor of no bytes that should be some.
        """
        if blob.data is not None or not blob.size_bytes:
            prove(blob, blob.data or b"")  # whoever wrote the descriptor has the bytes
            return

        async def work() -> None:
            url = Url(self._origin, f"/v2/{self.name}/blobs/{blob.digest}")
            async with self._exchange.ask(url, {}, method="HEAD") as answer:
                if answer.status == HTTPStatus.OK and answer.header("Content-Length") == str(blob.size_bytes):
                    return
                if answer.status == HTTPStatus.NOT_FOUND and answer.url.origin == self._origin:
                    raise refusal(answer, "", f"{self.name}, blob {blob.digest}", answer.url.origin.authority)
            async with self.open_range(blob, ByteRange(0, 1)):
                return

        await persist(work, self._transport.retried)

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator["Body", None]:
        """See `registry.ranges.RangeReader`. Raises `ValueError` for a range that is empty or not within the blob."""
        whole = ByteRange(0, blob.size_bytes)
        if not wanted.length or not whole.covers(wanted):
            raise ValueError(f"{wanted} is no range to ask for in {whole}")
        headers = {} if wanted == whole else {"Range": f"bytes={wanted.start}-{wanted.stop - 1}"}
        if fresh:
            headers["Cache-Control"] = "no-cache"
            self._elsewhere.pop(blob.digest, None)
        try:
            known = self._elsewhere.get(blob.digest)
            if known is not None:
                async with self._exchange.ask(known, headers) as answer:
                    if answer.status not in _EXPIRED:
                        yield await self._body(answer, blob, wanted)
                        return
                    await answer.explanation()  # for the connection's sake
            async with self._exchange.ask(Url(self._origin, f"/v2/{self.name}/blobs/{blob.digest}"), headers) as answer:
                yield await self._body(answer, blob, wanted)
        except Unreachable:
            self._elsewhere.pop(blob.digest, None)  # where it broke is not where to go on
            raise

    async def _body(self, answer: Answer, blob: Descriptor, wanted: ByteRange) -> "Body":
        host = answer.url.origin.authority
        elsewhere = answer.url.origin != self._origin
        if answer.status in _CONTENT:
            body = Body(answer, delivered(answer, blob, wanted, host))
            if elsewhere:
                self._elsewhere[blob.digest] = answer.url
            return body
        said = await answer.explanation()
        if elsewhere and answer.status in _EXPIRED:  # fresh from the registry, so no matter of credentials
            raise Unreachable(f"the storage host refuses the address the registry gave (status {answer.status})", host)
        raise refusal(answer, "" if elsewhere else said, f"{self.name}, blob {blob.digest}", host)

    async def _read_whole(self, blob: Descriptor, *, fresh: bool) -> bytes:
        async def work() -> bytes:
            async with self.open_range(blob, ByteRange(0, blob.size_bytes), fresh=fresh) as body:
                return b"".join([piece async for piece in body])

        return await persist(work, self._transport.retried)


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
        self._left -= len(piece)
        if self._left < 0:
            raise Unreachable(f"the body is longer than promised (expected {self.range.length} bytes)", self.host)
        return piece


def _manifest(reference: Reference, answer: Answer, data: bytes) -> ResolvedManifest:
    """Checks `data` against the digest asked for, and against the one the registry claims: a hint, but one that must not be
    wrong.
    """
    for digest in (reference.digest, _claimed(answer)):
        _check(reference, digest, data)
    media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
    return ResolvedManifest(reference.digest or Digest.of(data), data, media_type)


def _check(reference: Reference, digest: Digest | None, data: bytes) -> None:
    if digest is None:
        return
    verifier = Verifier(digest, len(data))
    verifier.feed(data)
    try:
        verifier.finish()
    except Mismatch as error:
        raise Mismatch(error.what, f"manifest of {reference}", _DAMAGED_HINT) from error


def _claimed(answer: Answer) -> Digest | None:
    try:
        return Digest.parse(answer.header("Docker-Content-Digest"))
    except BadDigest:
        return None
