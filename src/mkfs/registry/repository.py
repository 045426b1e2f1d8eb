"""One repository of one registry: its tags resolved, its documents proven, its blobs read by range.

What `resolve` and `read_blob` hand out matched a digest. What `open_range` hands out is unproven; whoever reads it proves it.
"""

import io
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO, Final, NoReturn, final

import trio

from mkfs.errors import BadDocument, Mismatch, NotFound
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange
from mkfs.registry.blobs import Body
from mkfs.registry.endpoints import Endpoint, Endpoints
from mkfs.registry.exchange import Exchange
from mkfs.registry.manifests import DAMAGED_HINT, ResolvedManifest, read_manifest
from mkfs.registry.pushes import Pushes
from mkfs.registry.ranges import OtherSize
from mkfs.registry.referrers import Referrers
from mkfs.registry.tags import read_digest, read_tags
from mkfs.registry.watching import watch_tag
from mkfs.units import MIB

_log: Final = logging.getLogger(__name__)

DOCUMENT_LIMIT_BYTES: Final = 16 * MIB  # of what is read whole into memory: all the small layers of a kit have no more together
_HASHED_AT_ONCE_BYTES: Final = MIB  # some ms of hashing; more of it goes to a thread, as others wait for the loop


@final
class Repository:
    """Implements `registry.ranges.RangeReader`. Made by `RegistryClient.repository`; lives as long as its client.

    Reads go to `endpoints`, mirrors first. `pushing` is another way to the registry: who only reads never asks for more.
    `tag_moved` is called when a tag that is watched means something else.
    """

    def __init__(self, reference: Reference, endpoints: Endpoints, pushing: Exchange, tag_moved: Callable[[], None]) -> None:
        self.registry, self.name = reference.registry, reference.repository
        self._endpoints, self._tag_moved = endpoints, tag_moved
        self._pushes = Pushes(pushing)

    async def resolve(self, reference: Reference) -> ResolvedManifest:
        """The manifest that `reference`, a name in this repository, names now: by its digest where it has one, else by its tag.

        Raises `NotFound`, `NotAuthorised`, `Unreachable` (at the latest after 30 s without an answer), `Mismatch` when the bytes
        are not what the reference or the registry itself says they are, `BadDocument` when they are too many.
        """
        by_tag = reference.digest is None
        return await self._endpoints.first(lambda each: read_manifest(each.exchange, reference), by_tag=by_tag)

    async def referrers(self, subject: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The manifests that say they are about `subject`, of one artifact type or of all; () where there are none.

        At most a thousand descriptors with what the list says of them, annotations included: **unproven**. `resolve` each by its
        digest, and look at its own `subject`. A mirror that knows none is not believed; the registry itself is asked.

        Raises `NotAuthorised`, `Unreachable`, `Mismatch` and `BadDocument` for a list that makes no sense.
        """

        async def work(endpoint: Endpoint) -> tuple[Descriptor, ...]:
            found = await Referrers(endpoint.exchange).of(subject, artifact_type)
            if not found and endpoint.is_mirror:
                raise NotFound(f"no referrers of {subject}", endpoint.exchange.origin.authority)
            return found

        return await self._endpoints.first(work, by_tag=True)

    async def tags(self) -> tuple[str, ...]:
        """All tags, in the registry's order; at most ten thousand, with a warning where there are more.

        Raises `NotFound`, `NotAuthorised`, `Unreachable`, `BadDocument`.
        """
        return await self._endpoints.first(lambda each: read_tags(each.exchange), by_tag=True)

    async def digest_of(self, reference: Reference) -> Digest:
        """What a tag means now, by the registry's word: a HEAD, which counts against no limit of pulls. Unproven: `resolve` proves.

        Raises as `resolve`.
        """
        return await self._endpoints.first(lambda each: read_digest(each.exchange, reference), by_tag=reference.digest is None)

    async def watch_tag(
        self, reference: Reference, shown: Digest, every_seconds: float, heard: Callable[[Digest], None] = lambda _digest: None
    ) -> NoReturn:
        """Logs a warning whenever the tag of `reference` comes to mean another digest than it did, `shown` at the beginning; asks
        by HEAD about every `every_seconds`, and at once where `reference` has a digest, too. `heard` is told each answer, moved or
        not. Never ends; cancel it. Raises nothing.
        """
        await watch_tag(self._endpoints, reference, shown, every_seconds, moved=self._tag_moved, heard=heard)

    @property
    def hosts_aside(self) -> tuple[str, ...]:
        """Hosts that failed lately, and are asked after the others for now."""
        return self._endpoints.aside

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
            _log.info("%s: a document came wrong; asking past caches", self.registry)
        try:
            return await self._read_proven(blob, fresh=True)
        except Mismatch as error:
            raise Mismatch(error.what, f"{self.registry}/{self.name}, {blob.media_type}", DAMAGED_HINT) from error

    async def head_blob(self, blob: Descriptor) -> None:
        """Returns if this repository has `blob`, and would let us read it; no byte of it is read where a HEAD says so.

        Raises `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch` for a descriptor of no bytes that should be some.
        """
        if blob.data is not None or not blob.size_bytes:
            prove(blob, blob.data or b"")  # whoever wrote the descriptor has the bytes
            return
        await self._endpoints.first(lambda each: each.blobs.check(blob))

    def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AbstractAsyncContextManager[Body]:
        """See `registry.ranges.RangeReader`. Entering raises `ValueError` for a range that is empty or not within the blob."""
        return self._endpoints.open_range(blob, wanted, fresh=fresh)

    async def _read_proven(self, blob: Descriptor, *, fresh: bool) -> Proven:
        async def work(endpoint: Endpoint) -> Proven:
            data = await endpoint.exchange.persist(lambda: _whole(endpoint, blob, fresh=fresh))
            if len(data) < _HASHED_AT_ONCE_BYTES:
                return prove(blob, data)
            return await trio.to_thread.run_sync(prove, blob, data)

        return await self._endpoints.first(work, fresh=fresh)


async def _whole(endpoint: Endpoint, blob: Descriptor, *, fresh: bool) -> bytes:
    # `BytesIO` hands out the bytes it holds; joining pieces would need room for them twice.
    received = io.BytesIO()
    try:
        async with endpoint.blobs.open_range(blob, ByteRange(0, blob.size_bytes), fresh=fresh) as body:
            async for piece in body:
                received.write(piece)
    except OtherSize as error:
        raise Mismatch(error.what, error.where) from error
    return received.getvalue()
