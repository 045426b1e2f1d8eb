"""Headers that are damaged or made to hurt: no guess, no error, no memory to speak of."""

import random
import tracemalloc
from pathlib import Path
from struct import pack
from types import NoneType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.tensors.header import Need, read_header
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import ITEMS_LIMIT
from mkfs.units import KIB, MIB
from tests.tensors.model_files import (
    ALIGNMENT,
    ARRAY,
    STRING,
    UINT8,
    UINT32,
    UINT64,
    ModelFile,
    big_endian_gguf,
    by_hand,
    gguf_start,
    items,
    pair,
    tensor,
    text,
)

HUGE = 1 << 40  # bytes: a file of which only the start matters
MANY = 2**60
LAST = 2**64 - 1
KEY = b"general.alignment"

NO_SAFETENSORS = {
    "not an object": b"[{}]",
    "not JSON": b'{"a":{"data_offsets":[0,4]},}',
    "cut": b'{"a":{"data_offsets":[0,4]}',
    "a NUL behind": b"{}\0",
    "not UTF-8": b'{"\xff":{"data_offsets":[0,4]}}',
    "half a surrogate pair": rb'{"\ud800":{"data_offsets":[0,4]}}',
    "a tensor that is no object": b'{"a":[0,4]}',
    "a tensor without offsets": b'{"a":{"dtype":"F32","shape":[1]}}',
    "offsets null": b'{"a":{"data_offsets":null}}',
    "one offset": b'{"a":{"data_offsets":[0]}}',
    "three offsets": b'{"a":{"data_offsets":[0,4,4]}}',
    "offset text": b'{"a":{"data_offsets":["0","4"]}}',
    "offset a fraction": b'{"a":{"data_offsets":[0,4.0]}}',
    "offset true": b'{"a":{"data_offsets":[0,true]}}',
    "negative": b'{"a":{"data_offsets":[-4,0]}}',
    "backwards": b'{"a":{"data_offsets":[4,0]}}',
    "past the end": b'{"a":{"data_offsets":[0,101]}}',
    "2**64": b'{"a":{"data_offsets":[0,18446744073709551616]}}',
    "thousands of digits": b'{"a":{"data_offsets":[0,' + b"9" * 100_000 + b"]}}",
    "overlap": b'{"a":{"data_offsets":[0,4]},"b":{"data_offsets":[3,8]}}',
    "all in one place": b'{"a":{"data_offsets":[0,4]},"b":{"data_offsets":[0,4]}}',
    "deep arrays": b'{"a":{"x":' + b"[" * MIB + b"]" * MIB + b',"data_offsets":[0,4]}}',
    "deep objects": b'{"a":{"x":' + b'{"a":' * MIB + b"1" + b"}" * (MIB + 2),
    "more tensors than any": b"{" + b",".join(b'"%x":{"data_offsets":[0,0]}' % number for number in range(ITEMS_LIMIT)) + b"}",
}
NO_GGUF = {
    "version 1": gguf_start(0, 0, b"", version=1),
    "version 4": gguf_start(0, 0, b"", version=4),
    "2**60 tensors": gguf_start(MANY, 0, b""),
    "2**60 pairs": gguf_start(0, MANY, b""),
    "2**64 - 1 of both": gguf_start(LAST, LAST, b""),
    "more tensors than any": gguf_start(ITEMS_LIMIT + 1, 0, tensor(b"a", 0) * (ITEMS_LIMIT + 1)),
    "more pairs than any": gguf_start(0, ITEMS_LIMIT + 1, pair(b"a", UINT8, b"\0") * (ITEMS_LIMIT + 1)),
    "2**60 bytes in an array": gguf_start(0, 1, pair(b"a", ARRAY, items(UINT8, MANY))),
    "2**60 strings": gguf_start(0, 1, pair(b"a", ARRAY, items(STRING, MANY))),
    "2**60 arrays": gguf_start(0, 1, pair(b"a", ARRAY, items(ARRAY, MANY))),
    "more arrays than any": gguf_start(0, 1, pair(b"a", ARRAY, items(ARRAY, ITEMS_LIMIT, items(UINT8, 0) * ITEMS_LIMIT))),
    "key of 2**64 - 1 bytes": gguf_start(0, 1, pack("<Q", LAST)),
    "value of 2**64 - 1 bytes": gguf_start(0, 1, pair(b"a", STRING, pack("<Q", LAST))),
    "last string of 2**64 - 1 bytes": gguf_start(0, 1, pair(b"a", ARRAY, items(STRING, 2, text(b"a") + pack("<Q", LAST)))),
    "unknown kind": gguf_start(0, 1, pair(b"a", 13, bytes(8))),
    "array of an unknown kind": gguf_start(0, 1, pair(b"a", ARRAY, items(13, 1, bytes(8)))),
    "deep arrays": gguf_start(0, 1, pair(b"a", ARRAY, items(ARRAY, 1) * 50_000)),
    "alignment 0": gguf_start(0, 1, pair(KEY, UINT32, pack("<I", 0))),
    "alignment 24": gguf_start(0, 1, pair(KEY, UINT32, pack("<I", 24))),
    "alignment of another kind": gguf_start(0, 1, pair(KEY, UINT64, pack("<Q", 32))),
    "2**32 - 1 dimensions": gguf_start(1, 0, text(b"a") + pack("<I", 2**32 - 1) + bytes(64)),
    "tensor past the end": gguf_start(1, 0, tensor(b"a", 101, 1)),
    "tensor at 2**64 - 1": gguf_start(1, 0, tensor(b"a", LAST, 1)),
}


def peak_bytes(content: bytes, answer: type[object]) -> int:
    """How much memory is held at most while the header is read, to this answer."""
    tracemalloc.start()
    try:
        assert isinstance(read_header(content, HUGE), answer)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("header", NO_SAFETENSORS.values(), ids=NO_SAFETENSORS)
def test_a_safetensors_header_that_makes_no_sense_is_no_guess(header: bytes) -> None:
    content = by_hand(header, data_bytes=100)
    assert read_header(content, len(content)) is None


@pytest.mark.parametrize("start", NO_GGUF.values(), ids=NO_GGUF)
def test_a_gguf_header_that_makes_no_sense_is_no_guess(start: bytes) -> None:
    content = start.ljust(-(-len(start) // ALIGNMENT) * ALIGNMENT, b"\0") + bytes(100)
    assert read_header(content, len(content)) is None


def test_what_is_refused_above_is_refused_for_that_alone() -> None:
    assert isinstance(read_header(by_hand(b'{"a":{"data_offsets":[0,100]}}', 100), 138), Placement)
    assert isinstance(read_header(gguf_start(1, 1, pair(KEY, UINT32, pack("<I", 8)) + tensor(b"a", 100, 1)), HUGE), Placement)
    assert isinstance(read_header(gguf_start(0, 1, pair(b"a", ARRAY, items(ARRAY, 1) * 6 + items(UINT8, 0))), HUGE), Placement)


def test_the_other_kind_of_machine_is_left_alone(tmp_path: Path) -> None:
    content = big_endian_gguf(tmp_path / "big.gguf")
    assert content.startswith(b"GGUF\0\0\0\3")
    assert read_header(content, len(content)) is None


@pytest.mark.parametrize("name", ["2**60 tensors", "2**60 pairs", "2**60 bytes in an array", "2**60 strings", "2**60 arrays"])
def test_a_count_that_cannot_be_is_refused_before_it_is_counted(name: str) -> None:
    assert peak_bytes(NO_GGUF[name], NoneType) < 64 * KIB


def test_the_largest_headers_take_a_few_times_their_size() -> None:
    names = range(ITEMS_LIMIT - 2)
    tensors = b",".join(b'"%x":{"data_offsets":[%d,%d]}' % (number, number, number + 1) for number in names)
    assert peak_bytes(by_hand(b"{" + tensors + b"}"), Placement) < 64 * MIB
    empty = b",".join(b'"%x":{}' % number for number in range(1_000_000))
    assert peak_bytes(by_hand(b"{" + empty + b"}"), NoneType) < 64 * MIB
    table = b"".join(tensor(b"", number) for number in names)
    assert peak_bytes(gguf_start(len(names), 0, table), Placement) < 16 * MIB


def answers_in_kind(content: bytes, size_bytes: int) -> None:
    """Checks that the answer is one, and that a placement keeps to the file."""
    answer = read_header(content, size_bytes)
    if isinstance(answer, Need):
        assert len(content) < answer.bytes <= size_bytes
    elif answer is not None:
        offset = answer.header.stop
        assert offset <= size_bytes
        found = [each for at in range(offset, min(size_bytes, offset + 500)) if (each := answer.tensor_at(at)) is not None]
        assert all(offset <= each.start < each.stop <= size_bytes for each in found)
        assert len(set(found)) <= len(answer)


starts = (
    st.binary(max_size=64)
    | st.builds(by_hand, st.binary(max_size=64))
    | st.binary(max_size=200).map(lambda body: gguf_start(1, 1, body))
)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(starts, st.integers(0, 2**63))
def test_bytes_by_chance_are_answered(content: bytes, more_bytes: int) -> None:
    answers_in_kind(content, len(content) + more_bytes)


def test_damaged_headers_are_answered(model: ModelFile) -> None:
    chance = random.Random(6)
    header = model.content[: model.header_stop]
    for _ in range(500):
        damaged = bytearray(header)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(damaged))
            new = chance.choice(
                [b"", b"\xff", b"\0", b"9", b"{", b"}", b'"', b"[", pack("<Q", MANY), pack("<Q", LAST), chance.randbytes(1)]
            )
            damaged[at : at + chance.choice([0, 1, len(new)])] = new
        for size_bytes in (len(damaged), len(model.content), HUGE):
            answers_in_kind(bytes(damaged[:size_bytes]), size_bytes)
