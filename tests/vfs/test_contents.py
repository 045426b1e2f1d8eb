"""Bytes of a file out of its extents, at hand or waited for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.errors import MkfsError, Unreachable
from mkfs.ranges import ByteRange
from mkfs.tree.nodes import Extent, File
from mkfs.vfs.contents import content_of
from tests.support.fake_layers import BrokenLayer, LateLayer, MemoryLayer


def scattered(data: bytes, lengths: list[int]) -> tuple[bytes, File]:
    """A layer that holds `data` in pieces of these lengths, the last piece first, with other bytes between; and its file."""
    extents, layer, offset = [], b"", len(data)
    for length in reversed(lengths):
        layer += b"\xff" * 3
        extents.insert(0, Extent(offset - length, len(layer), length))
        layer += data[offset - length : offset]
        offset -= length
    return layer, File(2, 0o644, len(data), 0, tuple(extents))


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), data=st.data())
@settings(max_examples=150, derandomize=True, deadline=None)
async def test_any_range_is_the_same_range_of_the_file(lengths: list[int], data: st.DataObject) -> None:
    whole = bytes(number % 251 for number in range(sum(lengths)))
    layer, file = scattered(whole, lengths)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert bytes(content_of(file, [MemoryLayer(layer)]).read_now(start, stop)) == whole[start:stop]
    late = content_of(file, [LateLayer(layer, frontier=data.draw(st.integers(0, len(layer))))])
    assert late.read_now(start, stop) in (None, whole[start:stop])
    assert bytes(await late.read(start, stop)) == whole[start:stop]


def test_a_file_in_one_piece_costs_one_read_of_its_layer() -> None:
    layer = MemoryLayer(bytes(100))
    assert len(content_of(File(2, 0o644, 50, 0, (Extent(0, 20, 50),)), [layer]).read_now(5, 45)) == 40
    assert layer.asked == [ByteRange(25, 65)]


def test_a_read_across_pieces_waits_if_one_of_them_has_to() -> None:
    file = File(2, 0o644, 20, 0, (Extent(0, 0, 10), Extent(10, 50, 10)))
    content = content_of(file, [LateLayer(bytes(60), frontier=55)])
    assert content.read_now(0, 15) is not None
    assert content.read_now(0, 16) is None


async def test_an_inline_file_is_always_at_hand() -> None:
    content = content_of(File(2, 0o644, 5, None, (), b"hello"), [])
    assert (content.size_bytes, content.read_now(1, 4), await content.read(0, 5)) == (5, b"ell", b"hello")


async def test_what_a_layer_refuses_reaches_the_reader_as_it_is() -> None:
    error = Unreachable("no answer from host")
    file = File(2, 0o644, 10, 0, (Extent(0, 0, 10),))
    with pytest.raises(Unreachable) as caught:
        await content_of(file, [BrokenLayer(error)]).read(0, 10)
    assert caught.value is error


@pytest.mark.parametrize("length", [9, 11])
@pytest.mark.parametrize("extents", [(Extent(0, 0, 10),), (Extent(0, 0, 5), Extent(5, 5, 5))])
async def test_a_layer_that_answers_too_few_or_too_many_bytes_is_not_believed(length: int, extents: tuple[Extent, ...]) -> None:
    class Careless:
        def read_now(self, wanted: ByteRange) -> bytes:
            return bytes(wanted.length - 10 + length)

        async def read(self, wanted: ByteRange) -> bytes:
            return self.read_now(wanted)

    content = content_of(File(2, 0o644, 10, 0, extents), [Careless()])
    with pytest.raises(MkfsError, match="answered"):
        content.read_now(0, 10)
    with pytest.raises(MkfsError, match="answered"):
        await content.read(0, 10)
