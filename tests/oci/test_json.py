"""Strict JSON: a document means one thing to everybody, or is refused; and refusing is cheap."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import BadDocument
from mkfs.oci.json import DEPTH_LIMIT, decode_json

LIMIT_BYTES = 4 * 1024 * 1024


def decode(data: bytes) -> dict[str, object]:
    return decode_json(data, LIMIT_BYTES, "config")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=5), st.booleans())
def test_a_proper_document_comes_back_as_it_is(document: dict[str, object], escaped: bool) -> None:
    assert decode(json.dumps(document, ensure_ascii=escaped).encode()) == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{} {}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 41 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        rb'{"a":"\ud800"}',
        rb'{"\udc00":1}',
        b'{"a":1,"a":1}',
        rb'{"a":1,"\u0061":2}',
        b'{"x":[{"a":{},"b":1,"a":2}]}',
    ],
)
def test_what_readers_could_disagree_about_is_refused(data: bytes) -> None:
    with pytest.raises(BadDocument, match=r"^config: "):
        decode(data)


def test_the_key_that_occurs_twice_is_named() -> None:
    with pytest.raises(BadDocument, match="key 'layers' occurs twice"):
        decode(b'{"config":1,"layers":1,"layers":2}')


def test_a_pair_of_surrogates_is_one_letter() -> None:
    assert decode(rb'{"a":"\ud83d\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(("opening", "closing", "fits"), [(b'{"a":', b"}", DEPTH_LIMIT), (b'{"a":[', b"]}", DEPTH_LIMIT // 2)])
def test_nesting_has_a_limit_far_from_the_stack(opening: bytes, closing: bytes, fits: int) -> None:
    decode(opening * fits + b"1" + closing * fits)
    with pytest.raises(BadDocument, match="nested deeper than 64 levels"):
        decode(opening * (fits + 1) + b"1" + closing * (fits + 1))


@pytest.mark.parametrize("closed", [1, 2, DEPTH_LIMIT])
def test_what_was_closed_before_is_counted_once(closed: int) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":{"b":{"c":' + b"[" * (levels - 3) + b"[]," * closed + b"[]" + b"]" * (levels - 3) + b"}}}"

    def beside(levels: int) -> bytes:
        return b'{"a":{"b":{"c":[' + b"[]," * closed + b"[" * (levels - 4) + b"]" * (levels - 4) + b"]}}}"

    decode(nested(DEPTH_LIMIT - 1))
    decode(beside(DEPTH_LIMIT))
    for data in (nested(DEPTH_LIMIT), beside(DEPTH_LIMIT + 1)):
        with pytest.raises(BadDocument, match="nested deeper"):
            decode(data)


def test_a_number_may_have_forty_digits() -> None:
    assert decode(b'{"a":' + b"9" * 40 + b"}") == {"a": 10**40 - 1}


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":"\\"' + b"[" * 10 + b'","b":' + b"[" * 100_000])
def test_a_tower_of_brackets_is_a_bad_document_and_no_crash(data: bytes) -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(BadDocument, match="nested deeper"):
        decode(data.ljust(LIMIT_BYTES))
    assert sys.getrecursionlimit() == limit


def test_brackets_in_text_are_no_nesting() -> None:
    text = "[{" * 1000 + '"\\' + "[{" * 1000
    assert decode(json.dumps({"a": text, text: 1}).encode()) == {"a": text, text: 1}


@pytest.mark.parametrize("data", [b'\\"' * (LIMIT_BYTES // 2), b'"' + b'\\"' * (LIMIT_BYTES // 2 - 1)])
def test_quotes_without_end_take_no_long_time(data: bytes) -> None:
    with pytest.raises(BadDocument, match="not valid JSON"):
        decode(data)


def test_a_document_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert decode_json(b'{"a":1}', 7, "config") == {"a": 1}
    with pytest.raises(BadDocument, match=r"config: too large \(got 8 bytes, expected at most 7\)"):
        decode_json(b'{"a":1} ', 7, "config")
