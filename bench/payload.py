"""What is served: a kit of raw shards and small files, and the same bytes as a plain artifact that oras writes out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from bench.scene import Scene
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, MemoryBody, SeededBody, digest_of
from mkfs.testing.kit_layers import Layer
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.units import KIB, MIB

SHARDS: Final = 4
_SMALL: Final = {"config.json": 2 * KIB, "tokenizer.json": 700 * KIB, "tokenizer_config.json": 5 * KIB, "README.md": 9 * KIB}
_EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"  # image-spec, manifest.md, "Guidance for an Empty Descriptor"


@final
@dataclass(frozen=True)
class Payload:
    """Pushed. `kit` and `artifact` are references; `sums` the sha256 of every file that both hold."""

    kit: str
    artifact: str
    repository: str  # of both
    size_bytes: int  # of all files
    sums: Mapping[str, str]


def push_payload(scene: Scene, size_bytes: int) -> Payload:
    """Packs and pushes: `size_bytes` in shards (raw layers), and small files (tar layers)."""
    shard_bytes = size_bytes // SHARDS
    names = [f"model-{number + 1:05}-of-{SHARDS:05}.safetensors" for number in range(SHARDS)]
    files: dict[str, BlobBody] = {name: SeededBody(seed, shard_bytes) for seed, name in enumerate(names)}
    builder = KitBuilder("bench", seed=1)
    for name in names:
        builder.raw(name, files[name])
    for seed, (name, small_bytes) in enumerate(_SMALL.items(), start=SHARDS):
        files[name] = MemoryBody(SeededBody(seed, small_bytes).read(ByteRange(0, small_bytes)))
        builder.docs(name, files[name])
    kit = builder.build()
    repository = "bench/payload"
    reference = scene.pusher.push(repository, "kit", kit.manifest, kit.blobs)
    digests = {name: digest_of(body) for name, body in files.items()}
    blobs = {Digest.of(_EMPTY): MemoryBody(_EMPTY)} | {digests[name]: body for name, body in files.items()}
    artifact = scene.pusher.push(repository, "artifact", _artifact(files, digests), blobs)
    total = sum(body.size_bytes for body in files.values())
    return Payload(reference, artifact, repository, total, {name: digest.hex for name, digest in digests.items()})


@final
@dataclass(frozen=True)
class Shards:
    """Pushed: a kit of tar layers with one file each, `last` the last of them. `kit` is a reference."""

    kit: str
    repository: str
    last_name: str
    last: Layer

    @property
    def content(self) -> BlobBody:
        """What the last file holds."""
        body = self.last.members[-1].body
        assert body is not None
        return body


def push_shards(scene: Scene, size_bytes: int, shards: int = SHARDS) -> Shards:
    """Packs and pushes `size_bytes` in tar layers, as `kit pack` makes them of the parts of a model."""
    builder = KitBuilder("shards", seed=3)
    names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    for seed, name in enumerate(names):
        builder.part(name, SeededBody(seed, size_bytes // shards))
    kit = builder.build()
    repository = f"bench/shards-{shards}-{size_bytes}"
    reference = scene.pusher.push(repository, "kit", kit.manifest, kit.blobs)
    return Shards(reference, repository, names[-1], kit.layers[-1])


def twenty_layers() -> Kit:
    """A kit of ten layers of 2 MiB (five raw, five tar) and ten small ones."""
    builder = KitBuilder("twenty", seed=2)
    for number in range(10):
        builder.part(f"part-{number}.bin", 2 * MIB + number, raw=number % 2 == 0)
    for number in range(10):
        builder.docs(f"doc-{number}.md", 3 * KIB + number)
    return builder.build()


def _artifact(files: Mapping[str, BlobBody], digests: Mapping[str, Digest]) -> bytes:
    """What `oras push` writes: a title for each layer, which is the name that `oras pull` gives the file."""
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": str(digests[name]),
            "size": body.size_bytes,
            "annotations": {"org.opencontainers.image.title": name},
        }
        for name, body in files.items()
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.mkfs.bench",
        "config": {"mediaType": _EMPTY_TYPE, "digest": str(Digest.of(_EMPTY)), "size": len(_EMPTY)},
        "layers": layers,
    }
    return json.dumps(manifest).encode()
