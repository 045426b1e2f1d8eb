"""Making the chunk index of an artifact, and hanging it on the artifact in its registry, signed or not.

What is pushed is found by whoever mounts the artifact afterwards; whether it is believed is their policy's business. Nothing of the
artifact itself is changed.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, final

from mkfs.content.indexing import index_of, prove_whole
from mkfs.errors import UsageError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.bundle import encode_bundle
from mkfs.proof.keys import SigningKey
from mkfs.proof.referrers import Referrer, bundle_referrer, index_referrer
from mkfs.proof.statement import IndexStatement
from mkfs.registry.repository import Repository
from mkfs.service.layer_work import go_through
from mkfs.service.opening import Means, opening
from mkfs.service.progress import Showing
from mkfs.service.settings import SourceSettings
from mkfs.service.streaming import open_shown

# Buffers of 8 MiB. An index is made where artifacts are pushed, on small machines: with the eight of a mount it took 60 to 68 MiB.
_BUFFERS: Final = 6


@final
@dataclass(frozen=True, slots=True)
class Built:
    """A chunk index: `document` is its encoding, `subject` the manifest it is of, `reference` that one's name with its digest."""

    reference: str
    subject: Descriptor
    index: ArtifactIndex
    document: bytes


@final
@dataclass(frozen=True, slots=True)
class Pushed:
    """What was hung on the artifact: the digests of the manifests with the chunk index and, where it was signed, the bundle."""

    built: Built
    index: Digest
    bundle: Digest | None


async def build(settings: SourceSettings, showing: Showing) -> Built:
    """Proves every layer by its digest, as far as that is not done yet, and indexes them.

    Raises what `content.artifact.open_artifact` and reading raise; the first error of a layer ends it.
    """
    async with opening(settings, buffers=_BUFFERS) as means:
        return await _build(means, showing)


async def push(settings: SourceSettings, showing: Showing, *, key: SigningKey | None, expires: datetime | None) -> Pushed:
    """Builds the chunk index and pushes it, with a statement that `key` signs, not to be believed from `expires` on.

    Raises as `build`, and as `Repository.push_blob`.
    """
    async with opening(settings, buffers=_BUFFERS) as means:
        if not isinstance(means.repository, Repository):
            raise UsageError("a chunk index is pushed to a registry, and none is asked here")
        built = await _build(means, showing)
        index = index_referrer(built.subject, built.document)
        await _push(means.repository, index)
        if key is None:
            return Pushed(built, index.descriptor.digest, None)
        statement = IndexStatement.about(built.index, built.document, expires)
        bundle = bundle_referrer(built.subject, encode_bundle(statement.sign(key), key.public.hint), datetime.now(UTC))
        await _push(means.repository, bundle)
        return Pushed(built, index.descriptor.digest, bundle.descriptor.digest)


async def _build(means: Means, showing: Showing) -> Built:
    terms = replace(means.terms, policy=means.terms.policy.without_index())  # the one that it requires is being made
    artifact = await open_shown(replace(means, terms=terms), showing)
    try:
        reports = await go_through(artifact.own_layers, showing, lambda layer, _progress: prove_whole(layer))
        for report in reports:
            if report.error is not None:
                raise report.error
        index = await index_of(means.engine, artifact)
        description = artifact.description
        document = await means.engine.hashing(index.encode)
        subject = Descriptor(description.documents.manifest.media_type, description.digest, description.manifest_bytes)
        return Built(str(means.reference.pinned(description.digest)), subject, index, document)
    finally:
        artifact.close()


async def _push(repository: Repository, referrer: Referrer) -> None:
    for blob, content in referrer.blobs:
        await repository.push_blob(blob, content)
    await repository.push_manifest(referrer.manifest, referrer.descriptor.media_type)
