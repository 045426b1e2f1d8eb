"""Whatever was compressed comes out again, however it arrives; whatever was damaged is refused, or comes out right all the same."""

import gzip

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.archive.compression import Decompressor
from mkfs.errors import BadArchive

EXAMPLES = settings(max_examples=200, derandomize=True, deadline=None, database=None)

# Runs of one byte between noise: what compresses a lot, and what does not.
contents = st.lists(st.one_of(st.binary(max_size=300), st.builds(bytes, st.integers(0, 200_000))), max_size=5).map(b"".join)
layers = st.lists(st.tuples(contents, st.integers(0, 9)), min_size=1, max_size=4)
formats = st.sampled_from(["gzip", "zstd"])


def compressed(name: str, members: list[tuple[bytes, int]]) -> bytes:
    """One member for each content and level."""
    if name == "gzip":
        return b"".join(gzip.compress(content, level) for content, level in members)
    return b"".join(zstd.compress(content, level) for content, level in members)


def inflated(name: str, data: bytes, steps: list[int]) -> bytes:
    """The content of `data` that arrives in pieces: as long as `steps` says, over and over."""
    decompressor = Decompressor(name, "layer", 1 << 40)
    out, at, number = [], 0, 0
    while at < len(data):
        step = steps[number % len(steps)]
        out += decompressor.feed(memoryview(data)[at : at + step])
        at, number = at + step, number + 1
    decompressor.finish()
    return b"".join(out)


@EXAMPLES
@given(name=formats, members=layers, steps=st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_the_content_does_not_depend_on_how_it_arrives(name: str, members: list[tuple[bytes, int]], steps: list[int]) -> None:
    assert inflated(name, compressed(name, members), steps) == b"".join(content for content, _ in members)


@EXAMPLES
@given(name=formats, members=layers, flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3))
def test_damaged_layers_are_refused_or_come_out_right(
    name: str, members: list[tuple[bytes, int]], flips: list[tuple[int, int]]
) -> None:
    data = bytearray(compressed(name, members))
    for at, bits in flips:
        data[at % len(data)] ^= bits
    try:
        content = inflated(name, bytes(data), [10**6])
    except BadArchive:
        return
    if name == "gzip":  # its checksum covers all of the content, and only that
        assert content == b"".join(content for content, _ in members)


@EXAMPLES
@given(name=formats, data=st.binary(max_size=2_000), start=st.booleans())
def test_any_bytes_give_content_or_bad_archive(name: str, data: bytes, start: bool) -> None:
    magic = {"gzip": b"\x1f\x8b\x08\0" + bytes(6), "zstd": b"\x28\xb5\x2f\xfd"}[name]
    try:
        inflated(name, magic + data if start else data, [7])
    except BadArchive:
        return
