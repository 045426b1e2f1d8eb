"""As much of GGUF (ggml, docs/gguf.md, version 3) as a measurement needs: a header to put before seeded bytes, and reading one."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

_MAGIC: Final = b"GGUF"
_VERSION: Final = 3
_STRING, _ARRAY = 8, 9  # gguf_metadata_value_type
_F16: Final = 1  # ggml_type
_ALIGNMENT_BYTES: Final = 32
_ITEM_BYTES: Final = 2


@final
@dataclass(frozen=True, slots=True)
class Info:
    """A tensor of a header. `offset` is counted from where the data begins."""

    name: str
    shape: tuple[int, ...]  # the fastest dimension first
    offset: int


def header(tensors: Mapping[str, tuple[int, ...]], words: Mapping[str, str], tokens: Sequence[str]) -> tuple[bytes, int]:
    """The header of a file of F16 tensors (name to shape, the fastest dimension first), padded; and how many bytes of data follow.

    `words` are key-values, `tokens` the array that makes real headers megabytes long.
    """
    parts = [_MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(words) + 1)]
    for key, value in words.items():
        parts += [_string(key), struct.pack("<I", _STRING), _string(value)]
    parts += [_string("tokenizer.ggml.tokens"), struct.pack("<IIQ", _ARRAY, _STRING, len(tokens)), *map(_string, tokens)]
    offset = 0
    for name, shape in tensors.items():
        parts += [_string(name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape), struct.pack("<IQ", _F16, offset)]
        size_bytes = _ITEM_BYTES
        for length in shape:
            size_bytes *= length
        offset += size_bytes + -size_bytes % _ALIGNMENT_BYTES
    data = b"".join(parts)
    return data + bytes(-len(data) % _ALIGNMENT_BYTES), offset


def read_header(read: Callable[[int], bytes]) -> list[Info]:
    """The tensors of a file that `header` wrote, taken as llama.cpp does: value after value. `read` gives the next so many bytes.

    Raises `ValueError` at what `header` does not write.
    """
    if read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not GGUF")
    _, tensors, pairs = _numbers(read, "<IQQ")
    for _ in range(pairs):
        _text(read)
        (kind,) = _numbers(read, "<I")
        if kind not in {_STRING, _ARRAY}:
            raise ValueError(f"value of type {kind}")
        count = _numbers(read, "<IQ")[1] if kind == _ARRAY else 1
        for _ in range(count):
            _text(read)
    found = []
    for _ in range(tensors):
        name = _text(read).decode()
        (dimensions,) = _numbers(read, "<I")
        shape = _numbers(read, f"<{dimensions}Q")
        found.append(Info(name, shape, _numbers(read, "<IQ")[1]))
    return found


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _text(read: Callable[[int], bytes]) -> bytes:
    return read(_numbers(read, "<Q")[0])


def _numbers(read: Callable[[int], bytes], shape: str) -> tuple[int, ...]:
    return struct.unpack(shape, read(struct.calcsize(shape)))
