"""The artifacts that one mount shows together: the one that was asked for, and those that it refers to.

Each has a `Source` of its own: another repository is asked under its own name, with the credentials for its own host, and the cache
answers for it with what that repository let us have. Which ones may be followed: `registry.hosts.check_parent`.

Atomic between checkpoints: a parent is known here only once its manifest is decoded.
"""

from collections.abc import Callable
from typing import TypeAlias, final

from msgspec import Struct

from mkfs.content.engine import Engine
from mkfs.content.source import Source
from mkfs.errors import Unsupported
from mkfs.formats.choice import Choice
from mkfs.formats.plan import Parent
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.reference import Reference
from mkfs.registry.hosts import check_parent
from mkfs.registry.layout import AnyRepository
from mkfs.registry.manifests import ResolvedManifest
from mkfs.registry.repository import Repository

# The repository of a reference; asked with whether its host's name must not lead into a private network.
Elsewhere: TypeAlias = Callable[[Reference, bool], Repository]


@final
class Resolved(Struct, frozen=True):
    """An artifact that was referred to: where it comes from, and its manifest."""

    source: Source
    resolved: ResolvedManifest
    manifest: Manifest


@final
class Sources:
    """Where each blob comes from. Without `elsewhere` no other repository is asked: what the artifact refers to comes from the
    cache.
    """

    def __init__(
        self,
        engine: Engine,
        repository: AnyRepository | None,
        reference: Reference,
        choice: Choice,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.own = Source(engine, repository, reference)
        self._engine, self._choice = engine, choice
        self._elsewhere = elsewhere
        self._parents: dict[Reference, Resolved] = {}

    def of(self, origin: Reference | None) -> Source:
        """The source of a layer's or a document's `origin`."""
        return self.own if origin is None else self._parents[origin].source

    async def parent(self, reference: Reference) -> Parent:
        """The artifact that was referred to, resolved now. Raises what `Source.resolve` raises, `BadDocument`, and `Unsupported`
        where it may not be followed.
        """
        child = None if self.own.reference.is_layout else self.own.reference.registry
        must_be_public = check_parent(child, reference.registry, self._choice.reference_hosts)
        repository = None if self._elsewhere is None else self._elsewhere(reference, must_be_public)
        source = Source(self._engine, repository, reference)
        resolved = await source.resolve()
        manifest = decode_manifest(resolved.data, resolved.media_type)
        if not isinstance(manifest, Manifest):
            raise Unsupported(f"the artifact refers to {reference}, which is an index", str(resolved.digest))
        pinned = reference.pinned(resolved.digest)
        self._parents[pinned] = Resolved(source, resolved, manifest)
        return Parent(pinned, manifest)

    async def remember(self, resolved: ResolvedManifest) -> None:
        """Keeps what all registries said, for a time without them. `resolved` is the own artifact's."""
        await self.own.remember(resolved)
        for parent in self._parents.values():
            await parent.source.remember(parent.resolved)

    def resolved(self, parent: Reference) -> Resolved:
        """What the registry said of a parent, by its reference with the digest."""
        return self._parents[parent]
