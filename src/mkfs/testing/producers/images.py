"""Container images: layers of a file system, a config that counts them, and an index of one per platform."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Final

from mkfs.formats.go_json import go_json
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.kit_layers import gzipped

LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
MTIME: Final = 1_700_000_000

_FILE_MODE: Final = 0o644

# What a layer holds: the bytes of a file, None for a directory, "->target" for a symbolic link, "=target" for a hard link.
Changes = Mapping[str, bytes | str | None]


def changeset(changes: Changes, *, directory_mode: int = 0o755) -> bytes:
    """A layer as Python's tarfile writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in changes.items():
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = _FILE_MODE, MTIME
            data = b""
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, directory_mode
            elif isinstance(content, bytes):
                info.size, data = len(content), content
            else:
                is_link = content.startswith("->")
                info.type = tarfile.SYMTYPE if is_link else tarfile.LNKTYPE
                info.linkname = content[2 if is_link else 1 :]
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def image(layers: Sequence[Changes], *, compressed: bool = True) -> Artifact:
    """An image of these layers, the lowest first."""
    archives = [changeset(changes) for changes in layers]
    rootfs = {"type": "layers", "diff_ids": [str(Digest.of(data)) for data in archives]}
    config = go_json({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sleep", "infinity"]}, "rootfs": rootfs})
    parts = [Part(f"{LAYER}+gzip", gzipped(data)) if compressed else Part(LAYER, data) for data in archives]
    return artifact(Part(OCI_IMAGE_CONFIG, config), parts)


def index(entries: Sequence[tuple[Artifact, Mapping[str, object]]], *, artifact_type: str = "") -> Artifact:
    """An index of these artifacts, each with further fields of its entry (`platform`, `modelMetadata`, `annotations`)."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": str(made.digest), "size": len(made.manifest), **fields}
            for made, fields in entries
        ],
    }
    blobs = {digest: body for made, _ in entries for digest, body in made.blobs.items()}
    return Artifact(go_json(document), blobs | {made.digest: MemoryBody(made.manifest) for made, _ in entries})
