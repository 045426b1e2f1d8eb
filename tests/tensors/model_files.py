"""Model files as the libraries write them, with the places of their tensors as the libraries read them; and files made by hand."""

from pathlib import Path
from struct import pack
from typing import Any, NamedTuple

import numpy as np
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter
from safetensors import safe_open
from safetensors.numpy import save_file

from mkfs.ranges import ByteRange

ALIGNMENT = 32  # bytes; GGUF's default
STRING, ARRAY, UINT8, UINT32, UINT64 = 8, 9, 0, 4, 10


class ModelFile(NamedTuple):
    """A file and the places of its tensors, in their order. Up to `padding` bytes behind a tensor are nobody's."""

    content: bytes
    tensors: list[ByteRange]
    padding: int = 0

    @property
    def header_stop(self) -> int:
        return self.tensors[0].start if self.tensors else len(self.content)


def seeded(*shape: int, dtype: str = "float32") -> "np.ndarray[Any, Any]":
    """Numbers that differ from those of any other shape, so that a tensor is found by its bytes."""
    return np.random.default_rng(shape).integers(0, 250, shape).astype(dtype)


def safetensors_model(path: Path, metadata: dict[str, str] | None = None, **tensors: "np.ndarray[Any, Any]") -> ModelFile:
    """The file that `safetensors` writes for these tensors."""
    save_file(tensors, path, metadata)
    content = path.read_bytes()
    places = []
    with safe_open(path, "np") as file:
        for name in file.offset_keys():
            data = file.get_tensor(name).tobytes()
            at = content.rindex(data)
            places.append(ByteRange(at, at + len(data)))
    return ModelFile(content, places)


def gguf_model(path: Path, alignment: int | None = None, tokens: int = 3, **tensors: "np.ndarray[Any, Any]") -> ModelFile:
    """The file that `gguf` writes for these tensors, which are Q8_0 where they are bytes."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {number}" for number in range(tokens)])
    writer.add_token_scores([0.5] * tokens)
    writer.add_bool("mkfs.true", val=True)
    writer.add_float64("mkfs.half", 0.5)
    writer.add_array("mkfs.nested", [[1, 2], [3]])
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_uint32("mkfs.last", 1)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor, raw_dtype=GGMLQuantizationType.Q8_0 if tensor.dtype == np.uint8 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    places = [ByteRange(int(each.data_offset), int(each.data_offset + each.n_bytes)) for each in GGUFReader(path).tensors]
    return ModelFile(path.read_bytes(), places, (alignment or ALIGNMENT) - 1)


def big_endian_gguf(path: Path) -> bytes:
    """A file for the other kind of machine, as `gguf` writes it."""
    writer = GGUFWriter(path, "llama", endianess=GGUFEndian.BIG)
    writer.add_tensor("a", seeded(8))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def by_hand(header: bytes, data_bytes: int = 0) -> bytes:
    """A safetensors file with this header and so many bytes of data."""
    return pack("<Q", len(header)) + header + bytes(data_bytes)


def gguf_start(tensors: int, pairs: int, body: bytes, version: int = 3) -> bytes:
    """A GGUF header that counts so many tensors and pairs, then has `body`."""
    return b"GGUF" + pack("<IQQ", version, tensors, pairs) + body


def text(value: bytes) -> bytes:
    """A string of GGUF."""
    return pack("<Q", len(value)) + value


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    """A key with its value."""
    return text(key) + pack("<I", kind) + value


def items(kind: int, count: int, values: bytes = b"") -> bytes:
    """The value of an array."""
    return pack("<IQ", kind, count) + values


def tensor(name: bytes, offset: int, *shape: int) -> bytes:
    """A row of the table of tensors, all F32."""
    return text(name) + pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
