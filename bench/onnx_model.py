"""An ONNX model whose weights lie in a file beside it (onnx.proto, "external data"), written without the onnx package.

Every weight is handed through as an output: a session reads all of them, one mapping each.
"""

from typing import Final

from mkfs.testing.bodies import BlobBody, MemoryBody, SeededBody
from mkfs.units import MIB

_WEIGHTS: Final = 32
_WIDTH: Final = 1024  # of a weight, in numbers
_FLOAT, _EXTERNAL = 1, 1  # TensorProto.DataType, TensorProto.DataLocation
_ITEM_BYTES: Final = 4
_IR_VERSION, _OPSET = 10, 21
_DATA: Final = "model.onnx.data"


def onnx_files(size_bytes: int) -> dict[str, BlobBody]:
    """The model and its weights, about `size_bytes` of them and at least a mebibyte."""
    rows = max(size_bytes, MIB) // (_WEIGHTS * _WIDTH * _ITEM_BYTES)
    weight_bytes = rows * _WIDTH * _ITEM_BYTES
    graph = b""
    for number in range(_WEIGHTS):
        name, output = f"weight{number}", f"output{number}"
        graph += _field(1, _text(1, name) + _text(2, output) + _text(4, "Identity"))
        where = {"location": _DATA, "offset": str(number * weight_bytes), "length": str(weight_bytes)}
        pairs = b"".join(_field(13, _text(1, key) + _text(2, value)) for key, value in where.items())
        graph += _field(
            5, _number(1, rows) + _number(1, _WIDTH) + _number(2, _FLOAT) + _text(8, name) + pairs + _number(14, _EXTERNAL)
        )
        shape = b"".join(_field(1, _number(1, length)) for length in (rows, _WIDTH))
        graph += _field(12, _text(1, output) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, shape))))
    graph += _text(2, "bench")
    model = _number(1, _IR_VERSION) + _field(7, graph) + _field(8, _number(2, _OPSET))
    return {"model.onnx": MemoryBody(model), _DATA: SeededBody(9, _WEIGHTS * weight_bytes)}


def _field(number: int, data: bytes) -> bytes:
    """A field with a length (protobuf, "Encoding")."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
