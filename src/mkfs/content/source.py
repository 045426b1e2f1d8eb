"""Where one mount's artifact comes from: its repository, and the cache in that repository's name.

Theory. The cache is shared, so having bytes is not being allowed to serve them: a mount gets from the cache what its own host and
repository let us have, now or lately (`cache.grants`). While the registry answers, what is not granted, or long ago, is asked for
there. Two things make a mount do without the registry:

- *Offline*, when the caller wants it: there is no repository object, so nothing can be asked. A tag means what it meant last.
- *Gone*, when a digest is to be resolved and the registry cannot be reached: the digest cannot mean anything else, so the cache
  answers, if it has everything. Reads that need the registry after all (our disk lost bytes) still try it. A tag does not fall back
  by itself: it may have moved, and only the caller can say whether the old one will do.

Atomic between checkpoints: `_gone`, `resolved_at` and `notices` change once, in `resolve`.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import final

from mkfs.cache.grants import is_fresh
from mkfs.cache.resolutions import Resolution
from mkfs.content.engine import Engine
from mkfs.errors import MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_INDEX
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import decode_referrers, encode_referrers, fallback_tag
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange
from mkfs.registry.layout import AnyRepository
from mkfs.registry.manifests import ResolvedManifest
from mkfs.registry.ranges import BlobStream
from mkfs.registry.repository import DOCUMENT_LIMIT_BYTES
from mkfs.units import format_duration

log = logging.getLogger(__name__)


@final
class Source:
    """Implements `registry.ranges.RangeReader` and `content.access.LayerAccess` for the layers of one artifact."""

    def __init__(self, engine: Engine, repository: AnyRepository | None, reference: Reference) -> None:
        """`repository` None: offline."""
        self.reference = reference
        self.notices: tuple[str, ...] = ()  # what a person should know of where this comes from, one line each
        self.resolved_at: int | None = None  # seconds since the epoch; None: just now, or without a registry's word
        self._engine, self._repository = engine, repository
        self._gone: Unreachable | None = None

    @property
    def asking(self) -> bool:
        """Whether the registry is there to be asked."""
        return self._asked is not None

    @property
    def _asked(self) -> AnyRepository | None:
        return None if self._gone is not None else self._repository

    async def resolve(self) -> ResolvedManifest:
        """The manifest. Raises what `Repository.resolve` raises; offline `NotFound`."""
        if self._repository is None:
            recalled = await self._recall(self.reference)
            if recalled is None:
                raise self.missing("its manifest")
            return self._without_registry(recalled, f"offline: {self.reference}")
        try:
            return await self._repository.resolve(self.reference)
        except Unreachable as error:
            recalled = await self._recall(self.reference)
            if recalled is None:
                raise
            if self.reference.digest is None:
                hint = f"mount it with --offline for what it was {_age(recalled)} ago, if all of it is in the cache"
                raise type(error)(error.what, error.where, hint) from error
            self._gone = error
            return self._without_registry(recalled, f"{error}; from the cache: {self.reference}")

    def _without_registry(self, recalled: Resolution, notice: str) -> ResolvedManifest:
        if self.reference.digest is None:  # a digest does not age
            self.resolved_at = recalled.resolved_at
            notice += f" as of {_age(recalled)} ago"
        self.notices = (notice,)
        return ResolvedManifest(recalled.digest, recalled.data, recalled.media_type)

    async def entry(self, entry: Descriptor) -> ResolvedManifest:
        """A manifest that an index of this repository names. Raises what `resolve` raises, `Mismatch` for one of another size."""
        named = Reference(self.reference.registry, self.reference.repository, digest=entry.digest)
        if (repository := self._asked) is not None:
            resolved = await repository.resolve(named)
        elif (recalled := await self._recall(named)) is not None:
            resolved = ResolvedManifest(recalled.digest, recalled.data, recalled.media_type)
        else:
            raise self.missing(f"manifest {entry.digest}")
        prove(entry, resolved.data)
        await self.remember(resolved, named)
        return resolved

    async def _recall(self, reference: Reference) -> Resolution | None:
        return await self._engine.on_disk(self._engine.cache.resolutions.recall, reference)

    async def remember(self, resolved: ResolvedManifest, reference: Reference | None = None) -> None:
        """Keeps what the registry said of `reference` (by default the artifact's own), for a time without it."""
        if self.asking:
            await self._remember(reference or self.reference, resolved.data, resolved.media_type)

    async def _remember(self, reference: Reference, data: bytes, media_type: str) -> None:
        proven = prove(Descriptor(media_type, Digest.of(data), len(data)), data)
        await self._engine.on_disk(self._engine.cache.resolutions.remember, reference, proven, media_type, time.time())

    async def document(self, blob: Descriptor, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> bytes:
        """A small blob, proven. Raises what `Repository.read_blob` raises; `missing` where the registry is not asked."""
        return await self._kept(blob, lambda repository: repository.read_blob(blob, limit_bytes))

    async def manifest(self, listed: Descriptor) -> bytes:
        """The manifest that a list names by its digest, proven. Raises as `document`."""

        async def read(repository: AnyRepository) -> Proven:
            resolved = await repository.resolve(Reference(self.reference.registry, self.reference.repository, None, listed.digest))
            return prove(listed, resolved.data)

        return await self._kept(listed, read)

    async def tagged(self, tag: str) -> bytes:
        """The manifest under another tag of the repository; without the registry what that was last. Raises as `resolve`."""
        reference = Reference(self.reference.registry, self.reference.repository, tag)
        if (repository := self._asked) is not None:
            resolved = await repository.resolve(reference)
            await self._remember(reference, resolved.data, resolved.media_type)
            return resolved.data
        recalled = await self._recall(reference)
        if recalled is None:
            raise self.missing(f"tag {tag}")
        return recalled.data

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What the registry lists as referring to `subject`, a hint; without the registry, what it listed last.

        Raises what `Repository.referrers` raises.
        """
        reference = Reference(self.reference.registry, self.reference.repository, fallback_tag(subject))
        if (repository := self._asked) is not None:
            listed = await repository.referrers(subject)
            await self._remember(reference, encode_referrers(listed), OCI_INDEX)
            return listed
        recalled = await self._recall(reference)
        return () if recalled is None else decode_referrers(recalled.data)

    async def _kept(self, blob: Descriptor, read: Callable[[AnyRepository], Awaitable[Proven]]) -> bytes:
        """A document from the cache, where this mount may have it from there, else by `read`, and kept."""
        cache, on_disk = self._engine.cache, self._engine.on_disk
        if await self._granted(blob) is not None and await self.allows(blob):
            proven = await on_disk(cache.document, blob)
            if proven is not None:
                return proven.data
        if (repository := self._asked) is None:
            raise self.missing(f"document {blob.digest}")
        proven = await read(repository)
        await on_disk(cache.keep_document, proven)
        await self.earned(blob)
        return proven.data

    async def allows(self, blob: Descriptor) -> bool:
        """See `LayerAccess`: granted lately, or by a HEAD now; an old grant where nobody can be asked, or cannot say."""
        granted, repository = await self._granted(blob), self._asked
        if repository is None or (granted is not None and is_fresh(granted, time.time())):
            return granted is not None
        try:
            await repository.head_blob(blob)
        except (NotFound, NotAuthorised) as error:  # whoever wants its bytes asks for them, and gets the registry's own answer
            log.info("%s is in the cache, but not for %s: %s", blob.digest, self.reference.name, error)
            await self._engine.on_disk(self._engine.cache.grants.revoke, *self._name(blob))
            return False
        except MkfsError as error:
            log.info("%s does not say whether %s is for us: %s", self.reference.name, blob.digest, error)
            return granted is not None
        await self.earned(blob)
        return True

    async def earned(self, blob: Descriptor) -> None:
        """See `LayerAccess`."""
        await self._engine.on_disk(self._engine.cache.grants.grant, *self._name(blob))

    async def _granted(self, blob: Descriptor) -> float | None:
        return await self._engine.on_disk(self._engine.cache.grants.granted, *self._name(blob))

    def _name(self, blob: Descriptor) -> tuple[str, str, Digest]:
        return self.reference.registry, self.reference.repository, blob.digest

    def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AbstractAsyncContextManager[BlobStream]:
        """See `RangeReader`. Offline: raises `NotFound` at once, as no patience brings anything."""
        if self._repository is None:
            raise self.missing(f"layer {blob.digest}")
        return self._repository.open_range(blob, wanted, fresh=fresh)

    def missing(self, what: str) -> MkfsError:
        """The error for `what`, which is not in the cache (not for this repository), and which the registry is not asked for."""
        if self._gone is not None:
            return type(self._gone)(self._gone.what, self._gone.where, f"the cache cannot answer instead, as it lacks {what}")
        hint = f"run `mkfs warmup {self.reference}` while the registry can be reached"
        return NotFound(f"offline, and the cache lacks {what}", str(self.reference), hint)


def _age(resolution: Resolution) -> str:
    return format_duration(max(0.0, time.time() - resolution.resolved_at))  # a clock may have been set back
