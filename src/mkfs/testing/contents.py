"""What a registry holds: repositories of manifests, tags and blobs."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.testing.bodies import BlobBody, FileBody

_REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"


@final
@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or an index, as pushed."""

    data: bytes
    media_type: str


@final
@dataclass(slots=True, eq=False)
class Contents:
    """One repository. Plain dictionaries: a test may add and remove as it likes between requests."""

    manifests: dict[Digest, StoredManifest] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    blobs: dict[Digest, BlobBody] = field(default_factory=dict)

    def add_manifest(self, data: bytes, tag: str | None = None, media_type: str = "") -> Digest:
        """Stores `data` as it is, under its digest and `tag`. The media type is what the document says, unless given."""
        digest = Digest.of(data)
        self.manifests[digest] = StoredManifest(data, media_type or _media_type(data))
        if tag is not None:
            self.tags[tag] = digest
        return digest

    def find(self, selector: str) -> Digest | None:
        """The digest of the manifest that a tag or digest names, or None."""
        for digest in self.manifests:
            if str(digest) == selector:
                return digest
        return self.tags.get(selector)

    def add_layout(self, root: Path) -> None:
        """Serves an OCI layout directory (image-spec image-layout.md): all manifests its index leads to, every blob from its file.

        Raises `OSError` where it is no such directory, `ValueError` or `KeyError` where its JSON is off.
        """
        for path in sorted((root / "blobs").glob("*/*")):
            self.blobs[Digest(path.parent.name, path.name)] = FileBody(path)
        for descriptor in json.loads((root / "index.json").read_bytes())["manifests"]:
            self._add_stored(root, descriptor, (descriptor.get("annotations") or {}).get(_REFERENCE_NAME))

    def _add_stored(self, root: Path, descriptor: dict[str, str], tag: str | None) -> None:
        digest = Digest.parse(descriptor["digest"])
        data = (root / "blobs" / digest.algorithm / digest.hex).read_bytes()
        self.manifests[digest] = StoredManifest(data, descriptor["mediaType"])
        if tag is not None:
            self.tags[tag.rpartition(":")[2]] = digest  # some tools write the whole reference there
        for child in json.loads(data).get("manifests") or ():
            self._add_stored(root, child, None)


def _media_type(data: bytes) -> str:
    """What a document says of itself; an OCI manifest where it says nothing, or is none at all (a test of bad documents)."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return OCI_MANIFEST
    said = document.get("mediaType") if isinstance(document, dict) else None
    return said if isinstance(said, str) else OCI_MANIFEST
