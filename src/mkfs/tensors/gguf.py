"""GGUF, versions 2 and 3, little endian: key-value pairs and a table of tensors, then the data section.

    magic, u32 version, u64 tensors, u64 pairs
    pair    string key, u32 kind, value          string: u64 length, UTF-8        array: u32 kind, u64 items, their values
    tensor  string name, u32 dimensions, u64 each, u32 type, u64 offset in the data section

Source: ggml-org/ggml, docs/gguf.md and src/gguf.cpp. Version 1 had other widths, and neither ggml nor gguf-py reads it any more; a
big-endian file shows by its version. The size of a tensor follows from its type, of which each year has new ones; so a tensor here
goes up to the next one, or the end of the file, and the padding behind it (less than the alignment) counts as its own.
"""

from itertools import pairwise
from struct import Struct
from typing import Final, final

from mkfs.ranges import ByteRange
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import ITEMS_LIMIT, Senseless, Short

MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")

# Kinds of values. Those that have a fixed length, with it: u8, i8, u16, i16, u32, i32, f32, bool, u64, i64, f64.
_UINT32, _STRING, _ARRAY = 4, 8, 9
_VALUE_BYTES: Final = {0: 1, 1: 1, 2: 2, 3: 2, _UINT32: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_NESTING_LIMIT: Final = 8  # of arrays; ggml reads no array of arrays at all
_LEAST_STRING_BYTES: Final = _U64.size

_ALIGNMENT_KEY: Final = b"general.alignment"
_DEFAULT_ALIGNMENT_BYTES: Final = 32


def parse(start: memoryview, size_bytes: int) -> Placement:
    """What `start`, which begins with `MAGIC`, tells of a file of `size_bytes`. Raises `Short` and `Senseless`.

    Takes 0.1 µs for each text of a vocabulary, some 50 ms for a large one.
    """
    walk = _Walk(start)
    walk.skip(len(MAGIC))
    if walk.number(_U32) not in _VERSIONS:
        raise Senseless
    tensor_count, pair_count = walk.number(_U64), walk.number(_U64)
    alignment_bytes = _DEFAULT_ALIGNMENT_BYTES
    walk.count(pair_count)
    for _ in range(pair_count):
        is_alignment, kind = walk.string() == _ALIGNMENT_KEY, walk.number(_U32)
        if not is_alignment:
            walk.skip_values(kind, 1)
        elif kind == _UINT32:
            alignment_bytes = walk.number(_U32)
        else:
            raise Senseless
    if alignment_bytes.bit_count() != 1:  # a power of two, as ggml has it
        raise Senseless
    walk.count(tensor_count)
    offsets = [_offset(walk) for _ in range(tensor_count)]
    data = walk.at + -walk.at % alignment_bytes
    starts = [data + offset for offset in sorted(offsets)]
    # Without tensors there may be nothing behind the pairs, not even their padding.
    return Placement.of(ByteRange(0, min(data, size_bytes)), pairwise([*starts, size_bytes]), size_bytes)


def _offset(walk: "_Walk") -> int:
    """What a row of the table of tensors says: where the tensor starts in the data section."""
    walk.string()
    walk.skip(8 * walk.number(_U32) + 4)
    return walk.number(_U64)


@final
class _Walk:
    """Goes over the start of a file from its first byte on; `at` is never past what is known. All methods raise `Short`."""

    __slots__ = ("_items_left", "_start", "at")

    def __init__(self, start: memoryview) -> None:
        self._start, self.at = start, 0
        self._items_left = ITEMS_LIMIT

    def count(self, items: int) -> None:
        """Says that so many items follow, to be walked over one by one. Raises `Senseless` where the file has too many."""
        self._items_left -= items
        if self._items_left < 0:
            raise Senseless

    def skip(self, length: int) -> None:
        """Goes on by `length` bytes."""
        self._require(length)
        self.at += length

    def number(self, layout: Struct) -> int:
        """The number here."""
        self.skip(layout.size)
        number: int = layout.unpack_from(self._start, self.at - layout.size)[0]
        return number

    def string(self) -> bytes:
        """The bytes of the string here."""
        length = self.number(_U64)
        self.skip(length)
        return bytes(self._start[self.at - length : self.at])

    def skip_values(self, kind: int, count: int, depth: int = 0) -> None:
        """Goes over `count` values of one kind, inside of `depth` arrays. Raises `Senseless`."""
        if kind in _VALUE_BYTES:
            self.skip(count * _VALUE_BYTES[kind])
        elif kind == _STRING:
            self._skip_strings(count)
        elif kind == _ARRAY and depth < _NESTING_LIMIT:
            self.count(count)
            for _ in range(count):
                self.skip_values(self.number(_U32), self.number(_U64), depth + 1)
        else:
            raise Senseless

    def _skip_strings(self, count: int) -> None:
        self._require(count * _LEAST_STRING_BYTES)  # so a count that cannot be is not counted up to
        # A vocabulary has up to a million: so no calls but the one.
        at, start, length, last = self.at, self._start, _U64.unpack_from, len(self._start) - _LEAST_STRING_BYTES
        for _ in range(count):
            if at > last:
                raise Short(at + _LEAST_STRING_BYTES)
            at += _LEAST_STRING_BYTES + length(start, at)[0]
        self.skip(at - self.at)

    def _require(self, length: int) -> None:
        if self.at + length > len(self._start):
            raise Short(self.at + length)
