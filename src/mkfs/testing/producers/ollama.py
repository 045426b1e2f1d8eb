"""Ollama: roles instead of paths, media types of Docker for manifest and config (`server/create.go`, `manifest/layer.go`)."""

from typing import Final

from mkfs.formats.go_json import go_json
from mkfs.oci.media_types import DOCKER_IMAGE_CONFIG, DOCKER_MANIFEST, OLLAMA_LAYER_PREFIX
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.producers import Files, Made

ROLES: Final = {
    "model.gguf": b"GGUF",
    "projector.gguf": b"GGUF, for images",
    "adapter.gguf": b"GGUF, LoRA",
    "template": b"{{ .Prompt }}",
    "system": b"You are a test.",
    "params.json": b'{"stop":["<|im_end|>"]}',
    "messages.json": b"[]",
    "license": b"MIT",
}


def layer(role: str, data: bytes, name: str = "") -> Part:
    """One layer; newer ones have a `name` beside digest and size."""
    return Part(f"{OLLAMA_LAYER_PREFIX}{role}", data, fields={"name": name} if name else {})


def model(*layers: Part, **config: object) -> Artifact:
    """A model of these layers."""
    fields = {"model_format": "gguf", "model_family": "llama", "model_type": "7.2B", "file_type": "Q4_0", **config}
    return artifact(Part(DOCKER_IMAGE_CONFIG, go_json(fields)), layers, media_type=DOCKER_MANIFEST)


def by_role() -> Made:
    """A model as most are: one layer for each role."""
    return Made(model(*(layer(name.partition(".")[0], data) for name, data in ROLES.items())), ROLES)


def by_name(files: Files) -> Made:
    """A newer model: a layer for each tensor and each JSON file, with its name."""
    layers = [layer("json" if path.endswith(".json") else "tensor", data, path) for path, data in files.items()]
    return Made(model(*layers, model_format="safetensors"), files)
