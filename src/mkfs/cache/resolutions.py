"""What references meant last: for a mount when the registry is gone.

By tag: the digest it had and when that was asked. By digest: that the repository let us have this manifest at all. The manifest
itself is kept as a document, and is proven anew when it is recalled.
"""

import json
from dataclasses import dataclass, field
from typing import Final, final

from msgspec import Struct

from mkfs.cache.documents import Documents
from mkfs.cache.records import LIMIT_BYTES, Records
from mkfs.cache.shared import Shared
from mkfs.errors import BadDigest, BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven

_SHOWN_LIMIT: Final = 255  # characters of a Content-Type: RFC 6838 allows 127 twice


@final
@dataclass(frozen=True, slots=True)
class Resolution:
    """What a reference meant at `resolved_at` (seconds since the epoch, by this machine's clock then).

    `data` is the manifest, proven; `media_type` is the registry's word for it.
    """

    digest: Digest
    data: bytes = field(repr=False)
    media_type: str
    resolved_at: int


@final
class Resolutions:
    """The resolutions of one cache. Blocks for a small file's time; raises nothing."""

    __slots__ = ("_documents", "_records")

    def __init__(self, shared: Shared, documents: Documents) -> None:
        self._records = Records(shared, "resolution", lambda: shared.layout.resolutions)
        self._documents = documents

    def remember(self, reference: Reference, manifest: Proven, media_type: str, now: float) -> None:
        """Keeps that the registry just answered for `reference` with `manifest`; as well as it can be done."""
        self._documents.keep(manifest)
        about = {
            "digest": str(manifest.digest),
            "size_bytes": len(manifest.data),
            "media_type": media_type[:_SHOWN_LIMIT],
            "resolved_at": int(now),
        }
        record = json.dumps(about).encode()
        for name in {_name(reference), _name(reference.pinned(manifest.digest))}:
            self._records.keep(name, record)

    def recall(self, reference: Reference) -> Resolution | None:
        """What `reference` meant when it was asked last, if all of that is still kept."""
        record = self._records.get(_name(reference))
        known = None if record is None else _decoded(record)
        if known is None or reference.digest not in (None, known.manifest.digest):
            return None
        manifest = self._documents.get(known.manifest)
        return (
            None if manifest is None else Resolution(manifest.digest, manifest.data, known.manifest.media_type, known.resolved_at)
        )


def _name(reference: Reference) -> str:
    """The reference without what does not decide."""
    return f"{reference.name}@{reference.digest}" if reference.digest else f"{reference.name}:{reference.tag}"


def manifest_in(record: bytes) -> Digest | None:
    """The manifest that a resolution's record needs."""
    known = _decoded(record)
    return None if known is None else known.manifest.digest


@final
class _Known(Struct, frozen=True):
    manifest: Descriptor
    resolved_at: int


def _decoded(record: bytes) -> _Known | None:
    try:
        match decode_json(record, LIMIT_BYTES, "resolution"):
            case {"digest": str(text), "size_bytes": int(size), "media_type": str(media_type), "resolved_at": int(resolved_at)}:
                return _Known(Descriptor(media_type, Digest.parse(text), size), resolved_at)
    except (BadDocument, BadDigest):  # sealed, so it is ours: of another version
        pass
    return None
