"""An artifact with chunk indexes, the same every time: a tar of a little and a large file, a raw layer, a compressed tar."""

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mkfs.archive.entry import Table
from mkfs.archive.tar import TarScanner
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_EMPTY, OCI_MANIFEST
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import grid_of
from mkfs.units import KIB, MIB

NOW: Final = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class IndexedLayer:
    """A layer as it is stored, what is in it, and its chunk index."""

    blob: bytes
    content: bytes
    descriptor: Descriptor
    index: ChunkIndex


@dataclass(frozen=True)
class IndexedArtifact:
    """An artifact and everything there is to say of its chunks. `descriptor` is that of `manifest`."""

    manifest: bytes
    descriptor: Descriptor
    layers: tuple[IndexedLayer, ...]

    @property
    def subject(self) -> Digest:
        return self.descriptor.digest

    @property
    def described(self) -> tuple[Descriptor, ...]:
        return tuple(layer.descriptor for layer in self.layers)

    @property
    def index(self) -> ArtifactIndex:
        return ArtifactIndex(self.subject, [layer.index for layer in self.layers])


def tar(**files: bytes) -> bytes:
    """A tar of these files in one directory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        directory = tarfile.TarInfo("weights")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(directory)
        for name, content in files.items():
            member = tarfile.TarInfo(f"weights/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def table_of(content: bytes) -> Table:
    """The table of a tar."""
    scanner = TarScanner(len(content))
    scanner.feed(0, content)
    return scanner.table()


def layer(content: bytes, table: Table | None, compression: Compression = "") -> IndexedLayer:
    """A layer of this content. `table` is None for a raw one."""
    blob = gzip.compress(content, mtime=0) if compression else content
    grid = grid_of(table, len(content))
    digests = digests_of(grid, range(grid.count), memoryview(content))
    descriptor = Descriptor("application/vnd.test.layer", Digest.of(blob), len(blob))
    index = ChunkIndex(descriptor.digest, grid, digests, table, compression=compression, stored_bytes=len(blob))
    return IndexedLayer(blob, content, descriptor, index)


def artifact(*layers: IndexedLayer, name: str = "sample") -> IndexedArtifact:
    """The artifact of these layers."""
    config = {"mediaType": OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}
    described = [
        {"mediaType": each.descriptor.media_type, "digest": str(each.descriptor.digest), "size": each.descriptor.size_bytes}
        for each in layers
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": f"application/vnd.test.{name}", "config": config}
    manifest = json.dumps({**document, "layers": described}).encode()
    return IndexedArtifact(manifest, Descriptor(OCI_MANIFEST, Digest.of(manifest), len(manifest)), layers)


def sample(name: str = "sample") -> IndexedArtifact:
    """The artifact this file is about. Another name gives another manifest with the same layers."""
    small, large = bytes(range(256)) * 4, bytes(range(255)) * (10 * KIB)
    plain, packed = tar(small=small, large=large), tar(small=small[:-1])
    return artifact(
        layer(plain, table_of(plain)),
        layer(large[: MIB + 7], None),
        layer(packed, table_of(packed), "gzip"),
        name=name,
    )
