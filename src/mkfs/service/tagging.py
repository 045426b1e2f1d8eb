"""The tags of a repository, with what they mean: grouped by digest, for somebody who looks for the right one."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, final

import trio

from mkfs.errors import BadDocument, MkfsError, NotFound
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import Index, Manifest, decode_manifest
from mkfs.oci.reference import Reference
from mkfs.registry.layout import AnyRepository
from mkfs.units import MIB

# At once. A HEAD costs a registry little, but there may be thousands of them.
CONCURRENCY: Final = 8
_CONFIG_LIMIT_BYTES: Final = MIB
_CREATED: Final = "org.opencontainers.image.created"


@final
@dataclass(frozen=True, slots=True)
class Tagged:
    """One artifact. `size_bytes` is what a pull of it would bring, None for an index and for what we cannot read; `created` is what
    it says of itself, None where it says nothing.
    """

    digest: Digest
    tags: tuple[str, ...]
    size_bytes: int | None
    created: datetime | None


async def tagged(repository: AnyRepository) -> list[Tagged]:
    """All of them: the newest first, those without a date last. Tags that vanish meanwhile are left out.

    Raises `NotFound`, `NotAuthorised`, `Unreachable`, `BadDocument`, some of them in a group of one: see `service.failures.sole`.
    """
    by_digest: defaultdict[Digest, list[str]] = defaultdict(list)
    limiter = trio.CapacityLimiter(CONCURRENCY)
    found: list[Tagged] = []

    async def look_up(tag: str) -> None:
        async with limiter:
            try:
                digest = await repository.digest_of(Reference(repository.registry, repository.name, tag))
            except NotFound:
                return
        by_digest[digest].append(tag)

    async def describe(digest: Digest) -> None:
        async with limiter:
            size_bytes, created = await _described(repository, digest)
        found.append(Tagged(digest, tuple(sorted(by_digest[digest])), size_bytes, created))

    names = await repository.tags()
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(look_up, name)
    async with trio.open_nursery() as nursery:
        for digest in by_digest:
            nursery.start_soon(describe, digest)
    return sorted(found, key=lambda each: (each.created is None, -(each.created or datetime.now(UTC)).timestamp(), each.tags))


async def _described(repository: AnyRepository, digest: Digest) -> tuple[int | None, datetime | None]:
    try:
        read = await repository.resolve(Reference(repository.registry, repository.name, None, digest))
        document = decode_manifest(read.data, read.media_type)
    except (BadDocument, NotFound):  # not ours to judge: the list goes on
        return None, None
    created = _moment(document.annotations.get(_CREATED))
    if isinstance(document, Index):
        return None, created
    size_bytes = document.config.size_bytes + sum(layer.size_bytes for layer in document.layers)
    return size_bytes, created or await _created(repository, document)


async def _created(repository: AnyRepository, manifest: Manifest) -> datetime | None:
    """What the config says of it: an image's `created`, a model's `descriptor.createdAt` (model-spec config.md)."""
    if not manifest.config.media_type.endswith("json") or manifest.config.size_bytes > _CONFIG_LIMIT_BYTES:
        return None
    try:
        config = decode_json((await repository.read_blob(manifest.config)).data, _CONFIG_LIMIT_BYTES, "config")
    except MkfsError:
        return None
    descriptor = config.get("descriptor")
    told = descriptor.get("createdAt") if isinstance(descriptor, dict) else None
    return _moment(config.get("created") or told)


def _moment(text: object) -> datetime | None:
    """RFC 3339; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
