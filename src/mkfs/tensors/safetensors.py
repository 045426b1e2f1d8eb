"""safetensors: the length of the header (u64, little endian), the header (JSON, padded with spaces), then the data section.

Source: huggingface/safetensors, README, "Format", and safetensors/src/tensor.rs. The crate also refuses gaps between tensors, and
sizes that do not fit shape and type; here both only make a poorer guess.
"""

from typing import Final

import msgspec

from mkfs.ranges import ByteRange
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import ITEMS_LIMIT, Senseless, Short

LENGTH_BYTES: Final = 8  # of the field before the header
_METADATA: Final = "__metadata__"  # the one key that is no tensor's name; its value maps text to text


class _Tensor(msgspec.Struct, frozen=True, gc=False):
    """A value of the header; type and shape are skipped. `data_offsets` are half-open, and of the data section."""

    data_offsets: tuple[int, int] | None = None


_DECODER: Final = msgspec.json.Decoder(dict[str, _Tensor])


def parse(start: memoryview, size_bytes: int) -> Placement:
    """What `start`, more than `LENGTH_BYTES`, tells of a file of `size_bytes`. Raises `Short` and `Senseless`."""
    data = LENGTH_BYTES + int.from_bytes(start[:LENGTH_BYTES], "little")
    if start[LENGTH_BYTES] != ord("{"):
        raise Senseless
    if data > len(start):
        raise Short(data, whole=True)
    header = bytes(start[LENGTH_BYTES:data])
    if header.count(b"{") > ITEMS_LIMIT:  # one a value at least: bounds what the decoder makes of them
        raise Senseless
    try:
        values = _DECODER.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Senseless from None
    values.pop(_METADATA, None)
    offsets = [value.data_offsets for value in values.values() if value.data_offsets is not None]
    if len(offsets) < len(values):
        raise Senseless
    tensors = ((data + begin, data + end) for begin, end in sorted(offsets))
    return Placement.of(ByteRange(0, data), tensors, size_bytes)
