"""Artifacts of any producer, put together blob by blob: what a test says of manifest, config and layers is what they hold.

weights = Part("application/vnd.ollama.image.model", b"GGUF…")
made = artifact(Part(DOCKER_IMAGE_CONFIG, b"{}"), [weights], media_type=DOCKER_MANIFEST)
registry.push("library/llama", "7b", made.manifest, made.blobs)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from mkfs.archive.entry import EntryKind
from mkfs.formats.go_json import go_json
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.testing.bodies import BlobBody, MemoryBody
from mkfs.testing.tars import END, header, padding

_DIRECTORY_MODE: Final = 0o755


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A config or a layer. `fields` are further fields of its descriptor (`artifactType`, Ollama's `name`)."""

    media_type: str
    data: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Of its data."""
        return Digest.of(self.data)

    def descriptor(self) -> dict[str, object]:
        """As it stands in a manifest."""
        described = {"mediaType": self.media_type, "digest": str(self.digest), "size": len(self.data), **self.fields}
        return described | ({"annotations": dict(self.annotations)} if self.annotations else {})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A manifest and all it names."""

    manifest: bytes
    blobs: Mapping[Digest, BlobBody]

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return Digest.of(self.manifest)


def artifact(
    config: Part,
    layers: Sequence[Part],
    *,
    artifact_type: str = "",
    annotations: Mapping[str, str] | None = None,
    media_type: str = OCI_MANIFEST,
) -> Artifact:
    """An artifact of these parts, in this order."""
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type:
        document["artifactType"] = artifact_type
    document |= {"config": config.descriptor(), "layers": [layer.descriptor() for layer in layers]}
    if annotations:
        document["annotations"] = dict(annotations)
    return Artifact(go_json(document), {part.digest: MemoryBody(part.data) for part in (config, *layers)})


def tar(members: Mapping[str, bytes | None], *, mode: int = 0o644) -> bytes:
    """An archive of files by path, in this order; None is a directory. All files have one mode."""
    blocks = []
    for name, data in members.items():
        path = name.encode("utf-8", "surrogateescape")
        if data is None:
            blocks.append(header(path, EntryKind.DIRECTORY, _DIRECTORY_MODE))
        else:
            blocks += [header(path, EntryKind.FILE, mode, len(data)), data, padding(len(data))]
    return b"".join((*blocks, END))
