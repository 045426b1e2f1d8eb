"""The two manifests that hang on an artifact: one that holds the chunk index, one that holds a signature over it.

Both are ordinary OCI manifests with a `subject` (image-spec manifest.md, "Guidelines for Artifact Usage"), an empty config and one
layer. The index manifest keeps the document alive in the registry; on its own it is the registry's word. The bundle manifest is
what `cosign attest` writes (cosign specs/BUNDLE_SPEC.md): a sigstore bundle whose statement names the document by digest.

Builders return bytes to be pushed as they are: the blobs first, then the manifest. Equal arguments give equal bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

from mkfs.errors import BadDocument, IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import CHUNK_INDEX_ARTIFACT, CHUNK_INDEX_DOCUMENT, OCI_EMPTY, OCI_MANIFEST, SIGSTORE_BUNDLE
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES
from mkfs.proof.bundle import BUNDLE_LIMIT_BYTES
from mkfs.proof.cosign import COSIGN_SIGN_PREDICATE
from mkfs.proof.statement import CHUNK_INDEX_PREDICATE, rfc3339

EMPTY: Final = b"{}"  # image-spec "Guidance for an Empty Descriptor"

_CONTENT: Final = "dev.sigstore.bundle.content"
_PREDICATE_TYPE: Final = "dev.sigstore.bundle.predicateType"
_CREATED: Final = "org.opencontainers.image.created"


@final
@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest to push, with the blobs it needs, in the order in which to push: `blobs`, then `manifest` by its digest.

    `descriptor` is what a list of referrers says of it: with artifact type and annotations.
    """

    descriptor: Descriptor
    manifest: bytes
    blobs: tuple[tuple[Descriptor, bytes], ...]


def index_referrer(subject: Descriptor, document: bytes) -> Referrer:
    """The manifest that attaches the chunk index `document` to the artifact whose manifest is `subject`.

    It says nothing of when it was made, so that pushing the same index again adds nothing.
    """
    return _referrer(CHUNK_INDEX_ARTIFACT, subject, CHUNK_INDEX_DOCUMENT, document, {})


def bundle_referrer(subject: Descriptor, bundle: bytes, created: datetime) -> Referrer:
    """The manifest that attaches a sigstore bundle over an index statement to the artifact whose manifest is `subject`."""
    annotations = {_CONTENT: "dsse-envelope", _PREDICATE_TYPE: CHUNK_INDEX_PREDICATE, _CREATED: rfc3339(created)}
    return _referrer(SIGSTORE_BUNDLE, subject, SIGSTORE_BUNDLE, bundle, annotations)


def read_index_referrer(manifest: bytes, subject: Digest) -> Descriptor:
    """Which document a chunk index manifest attaches to `subject`. Raises `IntegrityError` where it is not one, or not about it."""
    return _layer(manifest, subject, CHUNK_INDEX_ARTIFACT, CHUNK_INDEX_DOCUMENT, DOCUMENT_LIMIT_BYTES)


def read_bundle_referrer(manifest: bytes, subject: Digest) -> Descriptor:
    """Which bundle a bundle manifest attaches to `subject`. Raises `IntegrityError` where it is not one, or not about it.

    What the bundle is about, only its own statement says.
    """
    return _layer(manifest, subject, SIGSTORE_BUNDLE, SIGSTORE_BUNDLE, BUNDLE_LIMIT_BYTES)


def may_help(bundle: Descriptor) -> bool:
    """Whether a bundle in a list of referrers may be of use: over a chunk index, over the artifact itself, or of a kind that the
    list does not tell.
    """
    return bundle.annotations.get(_PREDICATE_TYPE, "") in {"", CHUNK_INDEX_PREDICATE, COSIGN_SIGN_PREDICATE}


def is_over_index(bundle: Descriptor) -> bool:
    """Whether a list of referrers says that a bundle is over a chunk index, not over the artifact."""
    return bundle.annotations.get(_PREDICATE_TYPE) == CHUNK_INDEX_PREDICATE


def _referrer(artifact_type: str, subject: Descriptor, media_type: str, content: bytes, annotations: Mapping[str, str]) -> Referrer:
    layer = Descriptor(media_type, Digest.of(content), len(content))
    empty = Descriptor(OCI_EMPTY, Digest.of(EMPTY), len(EMPTY))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _described(empty),
        "layers": [_described(layer)],
        "subject": _described(subject),
        **({"annotations": annotations} if annotations else {}),
    }
    manifest = json.dumps(document, separators=(",", ":")).encode()
    described = Descriptor(OCI_MANIFEST, Digest.of(manifest), len(manifest), annotations, artifact_type)
    return Referrer(described, manifest, ((empty, EMPTY), (layer, content)))


def _described(blob: Descriptor) -> dict[str, object]:
    return {"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size_bytes}


def _layer(data: bytes, subject: Digest, artifact_type: str, media_type: str, limit_bytes: int) -> Descriptor:
    try:
        manifest = decode_manifest(data)
    except BadDocument as error:
        raise IntegrityError(error.what) from error
    if not isinstance(manifest, Manifest) or manifest.artifact_type != artifact_type:
        raise IntegrityError(f"manifest is of another kind (got {manifest.artifact_type[:80]!a}, expected {artifact_type})")
    if manifest.subject is None or manifest.subject.digest != subject:
        got = None if manifest.subject is None else manifest.subject.digest
        raise IntegrityError(f"manifest belongs to another artifact (got {got}, expected {subject})")
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != media_type:
        raise IntegrityError(f"manifest has not exactly one layer of type {media_type}")
    if manifest.layers[0].size_bytes > limit_bytes:
        raise IntegrityError(f"layer is too large (got {manifest.layers[0].size_bytes} bytes, expected at most {limit_bytes})")
    return manifest.layers[0]
