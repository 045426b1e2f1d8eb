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
    sizes: Mapping[str, int]  # bytes, by the same names

    def urls(self, host: str) -> dict[str, str]:
        """Where each file is a blob of the artifact, at the registry or a way to it."""
        return {name: f"http://{host}/v2/{self.repository}/blobs/sha256:{digest}" for name, digest in self.sums.items()}


def push_payload(scene: Scene, size_bytes: int) -> Payload:
    """Packs and pushes: `size_bytes` in shards (raw layers), and small files (tar layers)."""
    return push_files(scene, "payload", _shards(size_bytes), _small_files())


def push_payload_tars(scene: Scene, size_bytes: int) -> str:
    """The same files as a kit of tar layers; its reference."""
    return push_tars(scene, "payload", _shards(size_bytes) | _small_files())


def push_tars(scene: Scene, name: str, files: Mapping[str, BlobBody]) -> str:
    """Packs and pushes files as a kit of tar layers, for kits that know no raw ones. Its reference."""
    builder = KitBuilder(name, seed=1)
    for path, body in files.items():
        builder.docs(path, body)
    packed = builder.build()
    return scene.pusher.push(f"bench/{name}", "tars", packed.manifest, packed.blobs)


def _shards(size_bytes: int) -> dict[str, BlobBody]:
    names = [f"model-{number + 1:05}-of-{SHARDS:05}.safetensors" for number in range(SHARDS)]
    return {name: SeededBody(seed, size_bytes // SHARDS) for seed, name in enumerate(names)}


def _small_files() -> dict[str, BlobBody]:
    return {
        name: MemoryBody(SeededBody(seed, small_bytes).read(ByteRange(0, small_bytes)))
        for seed, (name, small_bytes) in enumerate(_SMALL.items(), start=SHARDS)
    }


def push_files(scene: Scene, name: str, raw: Mapping[str, BlobBody], tar: Mapping[str, BlobBody]) -> Payload:
    """Packs and pushes files, each as a layer of its own, raw or a tar: as a kit, and as an artifact of plain files."""
    builder = KitBuilder(name, seed=1)
    for path, body in raw.items():
        builder.raw(path, body)
    for path, body in tar.items():
        builder.docs(path, body)
    packed = builder.build()
    repository = f"bench/{name}"
    reference = scene.pusher.push(repository, "kit", packed.manifest, packed.blobs)
    files = {**raw, **tar}
    digests = {path: digest_of(body) for path, body in files.items()}
    blobs = {Digest.of(_EMPTY): MemoryBody(_EMPTY)} | {digests[path]: body for path, body in files.items()}
    artifact = scene.pusher.push(repository, "artifact", _artifact(files, digests), blobs)
    sizes = {path: body.size_bytes for path, body in files.items()}
    sums = {path: digest.hex for path, digest in digests.items()}
    return Payload(reference, artifact, repository, sum(sizes.values()), sums, sizes)


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
