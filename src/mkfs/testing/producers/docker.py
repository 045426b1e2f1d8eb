"""Docker Model Runner, both versions of its packaging (docker/model-runner, `pkg/distribution/internal/bundle/unpack.go`)."""

from collections.abc import Mapping, Sequence
from typing import Final

from mkfs.formats.go_json import go_json
from mkfs.testing.artifacts import Part, artifact, tar
from mkfs.testing.producers import Files, Made

TYPE: Final = "application/vnd.docker.ai."

_KINDS: Final = {".gguf": "gguf.v3", ".safetensors": "safetensors", ".dduf": "dduf", ".jinja": "chat.template.jinja"}
_CONFIG: Final[Mapping[str, object]] = {
    "format": "gguf",
    "quantization": "Q4_K_M",
    "architecture": "llama",
    "size": "5 B",
    "gguf": {},
}


def config(version: str, **fields: object) -> Part:
    """A config as Docker writes it; `fields` belong into its `config` section."""
    document = {"config": {**_CONFIG, **fields}, "descriptor": {"created": "2025-05-01T10:00:00Z"}, "rootfs": {"diff_ids": []}}
    return Part(f"{TYPE}model.config.{version}+json", go_json(document))


def layer(kind: str, data: bytes, path: str = "") -> Part:
    """One layer; `path` is its annotation, "" for none."""
    return Part(f"{TYPE}{kind}", data, {"org.cncf.model.filepath": path} if path else {})


def layer_per_file(files: Files) -> Made:
    """Version 0.2: each file a layer of its own, with its path."""
    layers = []
    for path, data in files.items():
        kind = next((kind for ending, kind in _KINDS.items() if path.endswith(ending)), "model.file")
        layers.append(layer(kind, data, path))
    return Made(artifact(config("v0.2"), layers), {f"model/{path}": data for path, data in files.items()})


def by_type(weights: Sequence[bytes], kind: str, vllm: Files, directories: Files) -> Made:
    """Version 0.1 without paths: weights, a projector, a template, an archive for vLLM, one of directories, and a licence."""
    ending = kind.partition(".")[0]
    names = [f"model.{ending}"]
    if len(weights) > 1:
        names = [f"model-{number:05}-of-{len(weights):05}.{ending}" for number in range(1, len(weights) + 1)]
    layers = [layer(kind, data) for data in weights]
    layers += [layer("license", b"MIT"), layer("mmproj", b"projector"), layer("chat.template.jinja", b"{{ messages }}")]
    layers += [layer("vllm.config.tar", tar(vllm)), layer("dir.tar", tar(directories))]
    files = dict(zip(names, weights, strict=True)) | {"model.mmproj": b"projector", "template.jinja": b"{{ messages }}"}
    files |= {**vllm, **directories}
    return Made(artifact(config("v0.1"), layers), {f"model/{path}": data for path, data in files.items()})
