"""Writes a little ModelKit as an OCI layout directory: `python -m mkfs.testing.sample DIR [--tag 7b]`.

Two shards of safetensors of 3 MiB, each a layer large enough to be fetched only when somebody reads it, and small files. The
same bytes every time, so running it again mends whatever was done to DIR meanwhile. Prints a line for each layer: its name, a
tab, its file. For trying things by hand, with `python -m mkfs.testing llama=DIR`. The format: image-spec image-layout.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.ranges import ByteRange
from mkfs.testing.kits import Kit, KitBuilder, safetensors_file, seeded_tensor

_SHARDS: Final = 2
_ROWS, _COLUMNS = 1024, 768  # of 4 bytes each: 3 MiB, above the 1 MiB up to which layers are proven at mount


def sample_kit() -> Kit:
    """The kit: two shards with an index of them, a config, a tokenizer and a README."""
    builder = KitBuilder("llama", seed=7, description="a sample, not a model")
    names = [f"model-{number:05}-of-{_SHARDS:05}.safetensors" for number in range(1, _SHARDS + 1)]
    for number, name in enumerate(names):
        tensors = {f"layer.{number}.weight": seeded_tensor(number, _ROWS, _COLUMNS)}
        (builder.part if number else builder.model)(name, safetensors_file(tensors))
    index = {"weight_map": {f"layer.{number}.weight": name for number, name in enumerate(names)}}
    builder.part("model.safetensors.index.json", json.dumps(index, indent=2).encode())
    builder.part("config.json", b'{"architectures": ["LlamaForCausalLM"]}\n').part("tokenizer.json", b"{}\n")
    return builder.docs("README.md", b"# A sample\n\nNumbers from a seed, in the shape of a model.\n").build()


def write_layout(kit: Kit, root: Path, tag: str) -> dict[str, Path]:
    """Writes `kit` as the one artifact of the layout directory `root`, which is made where it is missing. Each layer's path in the
    Kitfile, and its file. Raises `OSError`.
    """
    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest, body in kit.blobs.items():
        (blobs / digest.hex).write_bytes(body.read(ByteRange(0, body.size_bytes)))
    (blobs / kit.manifest_digest.hex).write_bytes(kit.manifest)
    descriptor = {
        "mediaType": OCI_MANIFEST,
        "digest": str(Digest.of(kit.manifest)),
        "size": len(kit.manifest),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return {layer.wanted.path: blobs / layer.digest.hex for layer in kit.layers}


def main(words: list[str] | None = None) -> None:
    """The program. Exits with 2 and one line where DIR cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m mkfs.testing.sample", description="Write a little ModelKit as an OCI layout.")
    parser.add_argument("directory", metavar="DIR", type=Path, help="the layout directory, made where it is missing")
    parser.add_argument("--tag", default="7b", help="the artifact's tag (default: %(default)s)")
    given = parser.parse_args(words)
    try:
        files = write_layout(sample_kit(), given.directory, given.tag)
    except OSError as error:
        parser.error(f"{given.directory} cannot be written ({error.strerror})")
    sys.stdout.write("".join(f"{name}\t{path}\n" for name, path in files.items()))


if __name__ == "__main__":
    main()
