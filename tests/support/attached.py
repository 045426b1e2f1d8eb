"""Something small that refers to a manifest, for tests of referrers: a manifest with one document as its layer."""

import json
from dataclasses import dataclass, field
from typing import Final

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_EMPTY, OCI_MANIFEST
from mkfs.registry.repository import Repository

EMPTY: Final = b"{}"
EMPTY_BLOB: Final = Descriptor(OCI_EMPTY, Digest.of(EMPTY), len(EMPTY))


@dataclass(frozen=True)
class Attached:
    """A referrer of `subject` and what it holds."""

    subject: Descriptor
    document: bytes = b"a document"
    artifact_type: str = "application/vnd.test.document"
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def layer(self) -> Descriptor:
        return Descriptor("text/plain", Digest.of(self.document), len(self.document))

    @property
    def manifest(self) -> bytes:
        described = [
            {"mediaType": each.media_type, "digest": str(each.digest), "size": each.size_bytes}
            for each in (EMPTY_BLOB, self.layer, self.subject)
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": self.artifact_type}
        document |= {"config": described[0], "layers": [described[1]], "subject": described[2], "annotations": self.annotations}
        return json.dumps({name: value for name, value in document.items() if value}).encode()

    @property
    def descriptor(self) -> Descriptor:
        """As a list of referrers shows it."""
        kind = self.artifact_type or OCI_EMPTY
        return Descriptor(OCI_MANIFEST, Digest.of(self.manifest), len(self.manifest), self.annotations, kind)

    async def push(self, repository: Repository) -> Digest:
        await repository.push_blob(EMPTY_BLOB, EMPTY)
        await repository.push_blob(self.layer, self.document)
        return await repository.push_manifest(self.manifest, OCI_MANIFEST)
