"""Content-Range: an answer is believed by this header alone, so only the exact form counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.oci.content_range import ContentRange, parse_content_range
from mkfs.ranges import ByteRange


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-0/1", ContentRange(ByteRange(0, 1), 1)),
        ("bytes 5-9/10", ContentRange(ByteRange(5, 10), 10)),
        ("5-9/10", ContentRange(ByteRange(5, 10), 10)),  # Nexus
        ("Bytes 5-9/*", ContentRange(ByteRange(5, 10), None)),
    ],
)
def test_a_proper_header_is_read_half_open(text: str, expected: ContentRange) -> None:
    assert parse_content_range(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes */10",  # of a 416
        "bytes 9-5/10",
        "bytes 5-10/10",
        "bytes 5-/10",
        "bytes -5/10",
        "bytes 5-9",
        "bytes=5-9/10",
        "bytes  5-9/10",
        " bytes 5-9/10",
        "bytes 5-9/10\n",
        "bytes 5 - 9/10",
        "bytes +5-9/10",
        "bytes ٣-٤/*",
        " 5-9/10",
        "items 5-9/10",
        "bytes 5-9/10, bytes 5-9/10",
        f"bytes 0-{10**18}/*",
    ],
)
def test_anything_else_is_not_believed(text: str) -> None:
    assert parse_content_range(text) is None


@given(st.integers(0, 2**50), st.integers(1, 2**50), st.none() | st.integers(0, 2**50))
def test_what_a_correct_server_sends_comes_back(start: int, length: int, rest: int | None) -> None:
    total = None if rest is None else start + length + rest
    text = f"bytes {start}-{start + length - 1}/{'*' if total is None else total}"
    assert parse_content_range(text) == ContentRange(ByteRange(start, start + length), total)
