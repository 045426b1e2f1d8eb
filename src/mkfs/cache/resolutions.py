"""What references meant last: for a mount when the registry is gone.

By tag: the digest it had and when that was asked. By digest: that the repository let us have this manifest at all. The manifest
itself is kept as a document, and is proven anew when it is recalled.
"""

import json
from dataclasses import dataclass, field
from typing import Final, final

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
        if record is None:
            return None
        match _decoded(record):
            case {"digest": str(text), "size_bytes": int(size), "media_type": str(media_type), "resolved_at": int(resolved_at)}:
                try:
                    digest = Digest.parse(text)
                except BadDigest:
                    return None
            case _:
                return None
        if reference.digest not in (None, digest):
            return None
        manifest = self._documents.get(Descriptor(media_type, digest, size))
        return None if manifest is None else Resolution(digest, manifest.data, media_type, resolved_at)


def _name(reference: Reference) -> str:
    """The reference without what does not decide."""
    return f"{reference.name}@{reference.digest}" if reference.digest else f"{reference.name}:{reference.tag}"


def _decoded(record: bytes) -> dict[str, object]:
    try:
        return decode_json(record, LIMIT_BYTES, "resolution")
    except BadDocument:  # sealed, so it is ours: of another version
        return {}
