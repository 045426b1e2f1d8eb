"""A header is read from as much of the file as there is: the answer, or how much more it takes."""

from itertools import pairwise
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.tensors.header import Need, read_header
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import HEADER_LIMIT_BYTES
from mkfs.units import MIB
from tests.tensors.model_files import ARRAY, STRING, UINT8, ModelFile, by_hand, gguf_model, gguf_start, items, pair, seeded, text

HUGE = 1 << 40  # bytes: a file of which only the start matters


def needs_of(content: bytes, size_bytes: int) -> list[int]:
    """What is needed, step by step, until there is another answer; it takes ten steps at most."""
    steps = [0]
    while isinstance(need := read_header(content[: steps[-1]], size_bytes), Need):
        assert steps[-1] < need.bytes <= size_bytes
        assert len(steps) < 10
        steps.append(need.bytes)
    return steps[1:]


def test_every_start_of_a_file_needs_more_or_says_the_same(model: ModelFile) -> None:
    size_bytes = len(model.content)
    whole = read_header(model.content, size_bytes)
    assert isinstance(whole, Placement)
    for given in range(whole.header.stop + 1):
        answer = read_header(memoryview(model.content)[:given], size_bytes)
        if isinstance(answer, Need):
            assert given < answer.bytes <= size_bytes
        else:
            assert answer == whole
    assert read_header(model.content[: whole.header.stop], size_bytes) == whole


def test_a_file_that_is_cut_makes_no_sense(model: ModelFile) -> None:
    for size_bytes in range(model.tensors[-1].stop if model.tensors else 0):
        answer = read_header(model.content[:size_bytes], size_bytes)
        # A GGUF file does not say where its last tensor ends.
        assert answer is None or (model.padding and size_bytes >= model.tensors[-1].start)


def test_what_follows_the_header_changes_nothing(model: ModelFile) -> None:
    size_bytes = len(model.content)
    assert read_header(model.content + b"{GGUF", size_bytes) == read_header(model.content, size_bytes)


def test_a_safetensors_header_is_asked_for_exactly() -> None:
    content = by_hand(b"{" + b" " * (MIB + 100) + b"}")
    assert needs_of(content, len(content) + 5) == [MIB, len(content)]
    assert read_header(content[:9], HUGE) == Need(len(content))
    assert read_header(by_hand(b"{" * 100)[:9], HUGE) == Need(108)
    assert read_header(by_hand(b"[" * 100)[:9], HUGE) is None


@pytest.mark.parametrize("length", [0, 5, 500_000])
def test_a_gguf_header_is_asked_for_in_steps_that_double(length: int) -> None:
    count = 10 * MIB // (8 + length)
    content = gguf_start(0, 1, pair(b"a", ARRAY, items(STRING, count, text(bytes(length)) * count)))
    steps = needs_of(content, HUGE)
    assert steps[0] == MIB
    assert all(2 * before <= after for before, after in pairwise(steps))
    assert steps[-1] < 2 * len(content)


def test_an_array_of_numbers_is_asked_for_at_once() -> None:
    content = gguf_start(0, 1, pair(b"a", ARRAY, items(UINT8, 10 * MIB, bytes(10 * MIB))))
    assert needs_of(content, HUGE) == [MIB, len(content)]


@pytest.mark.parametrize("size_bytes", range(9))
def test_a_file_may_be_too_short_for_any_format(size_bytes: int) -> None:
    assert read_header(b"GGUF\3\0\0\0"[:size_bytes], size_bytes) is None


def test_a_long_vocabulary_of_a_real_writer(tmp_path: Path) -> None:
    model = gguf_model(tmp_path / "long.gguf", tokens=80_000, a=seeded(300))
    steps = needs_of(model.content, len(model.content))
    placement = read_header(model.content[: steps[-1]], len(model.content))
    assert isinstance(placement, Placement)
    assert placement.header == ByteRange(0, model.header_stop)
    assert len(steps) == 2


def test_a_safetensors_header_up_to_the_limit_is_read() -> None:
    content = by_hand(b'{"a":{"data_offsets":[0,5]}}'.ljust(HEADER_LIMIT_BYTES - 8))
    placement = read_header(content, HUGE)
    assert isinstance(placement, Placement)
    assert placement.tensor_at(HEADER_LIMIT_BYTES) == ByteRange(HEADER_LIMIT_BYTES, HEADER_LIMIT_BYTES + 5)
    assert read_header(by_hand(b"{}".ljust(HEADER_LIMIT_BYTES - 7)), HUGE) is None


def test_a_gguf_header_up_to_the_limit_is_read() -> None:
    head = gguf_start(0, 1, pair(b"a", ARRAY, items(UINT8, HEADER_LIMIT_BYTES)))
    room = HEADER_LIMIT_BYTES - len(head)
    longest = gguf_start(0, 1, pair(b"a", ARRAY, items(UINT8, room, bytes(room))))
    assert read_header(longest, HUGE) == Placement.of(ByteRange(0, HEADER_LIMIT_BYTES), [], HUGE)
    assert read_header(gguf_start(0, 1, pair(b"a", ARRAY, items(UINT8, room + 1))), HUGE) is None


def test_a_header_that_never_ends_is_given_up_at_the_limit() -> None:
    content = gguf_start(0, 1, pair(b"a", ARRAY, items(STRING, 1000, text(bytes(MIB)) * 40)))
    steps = needs_of(content, HUGE)
    assert max(steps) == HEADER_LIMIT_BYTES
    assert read_header(content, HUGE) is None
