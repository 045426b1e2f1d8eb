"""Small real safetensors files without numpy (format: huggingface/safetensors, README, "Format")."""

import json
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final, final

_ITEM_BYTES: Final = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_ALIGNMENT_BYTES: Final = 8  # of the data after the header, so that a mapped tensor can be used where it lies


@final
@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as stored: little endian, row by row. Raises `ValueError` unless `data` has the length that type and shape make."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        expected = prod(self.shape) * _ITEM_BYTES[self.dtype]
        if len(self.data) != expected:
            raise ValueError(f"{len(self.data)} bytes do not make a tensor {self.dtype}{list(self.shape)} (expected {expected})")


def seeded_tensor(seed: int, *shape: int) -> Tensor:
    """A float32 tensor of numbers in [-1, 1), the same for the same seed and shape."""
    source = random.Random(seed)  # noqa: S311 - test data has to repeat
    count = prod(shape)
    return Tensor("F32", shape, struct.pack(f"<{count}f", *(source.uniform(-1, 1) for _ in range(count))))


def safetensors_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A file that the safetensors library loads: the tensors in their order, without holes."""
    head: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, tensor in tensors.items():
        stop = start + len(tensor.data)
        head[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return b"".join((len(text).to_bytes(8, "little"), text, *(tensor.data for tensor in tensors.values())))
