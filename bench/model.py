"""A model to load: safetensors shards with the names and proportions of Llama 3, their index, and a GGUF of an eighth.

Weights are F16, norms F32: so a file has its tensors in another order than that of their names, as files of mixed types have
(safetensors writes the widest type first). Layers stand in their files as text is sorted, and in the model as numbers are.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Final, final

from bench import gguf
from bench.payload import Payload, push_files
from bench.scene import Scene
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, MemoryBody, SeededBody

SHARDS: Final = 8  # as many as vLLM reads at a time
_LAYERS: Final = 12  # more than ten: names and numbers sort differently
_TOKENS: Final = 20_000
# Bytes per squared width: q, o and a quarter each for k and v, three of 3.5 (gate, up, down), twelve times; embeddings of eight
# times the width twice. Two bytes each.
_LAYER_SHARE: Final = 2 * (2 + 0.5 + 3 * 3.5)
_MODEL_SHARE: Final = _LAYERS * _LAYER_SHARE + 2 * 2 * 8
_WIDTH_STEP: Final = 16
_GGUF_PART: Final = 8
_ITEM_BYTES: Final = {"F32": 4, "F16": 2}
_PADDED_TO: Final = 8


@final
class HeadedBody:
    """A header, and what follows it."""

    def __init__(self, header: bytes, rest: BlobBody) -> None:
        self._header, self._rest = header, rest

    @property
    def size_bytes(self) -> int:
        """Of both."""
        return len(self._header) + self._rest.size_bytes

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`."""
        first = len(self._header)
        part = self._header[wanted.start : wanted.stop]
        if wanted.stop <= first:
            return part
        return part + self._rest.read(ByteRange(max(wanted.start, first) - first, wanted.stop - first))


@final
@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor to be."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        size = _ITEM_BYTES[self.dtype]
        for length in self.shape:
            size *= length
        return size


def push_model(scene: Scene, size_bytes: int) -> Payload:
    """Packs and pushes a model of about `size_bytes` in shards, with its GGUF."""
    files = model_files(size_bytes)
    small = {name: body for name, body in files.items() if name.endswith(".json")}
    return push_files(scene, "model", {name: body for name, body in files.items() if name not in small}, small)


def model_files(size_bytes: int) -> dict[str, BlobBody]:
    """The files by their names. The same for the same size."""
    parts = _split(list(_specs(_width(size_bytes))))
    names = [f"model-{number:05}-of-{SHARDS:05}.safetensors" for number in range(1, SHARDS + 1)]
    files: dict[str, BlobBody] = {name: _shard(seed, part) for seed, (name, part) in enumerate(zip(names, parts, strict=True))}
    index = {"weight_map": {spec.name: name for name, part in zip(names, parts, strict=True) for spec in part}}
    files["model.safetensors.index.json"] = MemoryBody(json.dumps(index, indent=2).encode())
    files["config.json"] = MemoryBody(json.dumps({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": _LAYERS}).encode())
    files["model-f16.gguf"] = _gguf(_width(size_bytes // _GGUF_PART))
    return files


def _width(size_bytes: int) -> int:
    width = isqrt(int(size_bytes / _MODEL_SHARE))
    return max(width - width % _WIDTH_STEP, _WIDTH_STEP)


def _specs(width: int) -> Iterator[Spec]:
    """All tensors in the order of the model."""
    wide, narrow, vocabulary = width * 7 // 2, width // 4, 8 * width
    yield Spec("model.embed_tokens.weight", "F16", (vocabulary, width))
    for number in range(_LAYERS):
        layer = f"model.layers.{number}"
        yield Spec(f"{layer}.input_layernorm.weight", "F32", (width,))
        yield Spec(f"{layer}.self_attn.q_proj.weight", "F16", (width, width))
        yield Spec(f"{layer}.self_attn.k_proj.weight", "F16", (narrow, width))
        yield Spec(f"{layer}.self_attn.v_proj.weight", "F16", (narrow, width))
        yield Spec(f"{layer}.self_attn.o_proj.weight", "F16", (width, width))
        yield Spec(f"{layer}.post_attention_layernorm.weight", "F32", (width,))
        yield Spec(f"{layer}.mlp.gate_proj.weight", "F16", (wide, width))
        yield Spec(f"{layer}.mlp.up_proj.weight", "F16", (wide, width))
        yield Spec(f"{layer}.mlp.down_proj.weight", "F16", (width, wide))
    yield Spec("model.norm.weight", "F32", (width,))
    yield Spec("lm_head.weight", "F16", (vocabulary, width))


def _split(specs: list[Spec]) -> list[list[Spec]]:
    """In the order of the model, into shards of about the same size, none of them empty."""
    total, done = sum(spec.size_bytes for spec in specs), 0
    parts: list[list[Spec]] = [[] for _ in range(SHARDS)]
    for spec in specs:
        parts[min(done * SHARDS // total, SHARDS - 1)].append(spec)
        done += spec.size_bytes
    return parts


def _shard(seed: int, specs: list[Spec]) -> BlobBody:
    """A safetensors file: the widest type first, then by name, as its library writes."""
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for spec in sorted(specs, key=lambda spec: (-_ITEM_BYTES[spec.dtype], spec.name)):
        stop = start + spec.size_bytes
        head[spec.name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _PADDED_TO)
    return HeadedBody(len(text).to_bytes(8, "little") + text, SeededBody(seed, start))


def _gguf(width: int) -> BlobBody:
    shapes = {spec.name: spec.shape[::-1] for spec in _specs(width)}
    tokens = [f"token{number}" for number in range(_TOKENS)]
    head, data_bytes = gguf.header(shapes, {"general.architecture": "llama", "general.name": "bench"}, tokens)
    return HeadedBody(head, SeededBody(SHARDS, data_bytes))
