"""Digests: which texts name bytes, and that nothing but those bytes passes for them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import BadDigest, Mismatch
from mkfs.oci.digest import Digest, Verifier, mismatch

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", [f"sha256:{EMPTY}", f"sha512:{'0' * 128}"])
def test_a_digest_prints_as_it_was_read(text: str) -> None:
    assert str(Digest.parse(text)) == text


def test_what_nothing_rests_on_may_be_no_digest() -> None:
    assert Digest.found_in(f"sha256:{EMPTY}") == Digest("sha256", EMPTY)
    assert Digest.found_in(f"blake3:{EMPTY}") is None
    assert Digest.found_in("") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        EMPTY,
        f"sha256:{EMPTY[:-1]}",
        f"sha256:{EMPTY}0",
        f"sha256:{EMPTY.upper()}",
        f"SHA256:{EMPTY}",
        f" sha256:{EMPTY}",
        f"sha256:{EMPTY}\n",
        f"sha256:{EMPTY}\x00",
        f"sha256:{'٣' * 64}",
        f"sha256:../../{EMPTY[6:]}",
        f"sha512:{EMPTY}",
        f"blake3:{EMPTY}",
        f"md5:{'0' * 32}",
    ],
)
def test_text_that_could_not_be_checked_is_no_digest(text: str) -> None:
    with pytest.raises(BadDigest):
        Digest.parse(text)


def test_a_huge_text_makes_no_huge_message() -> None:
    with pytest.raises(BadDigest) as caught:
        Digest.parse("x" * 1_000_000)
    assert len(caught.value.what) < 300


def test_the_digest_of_nothing_is_the_one_everybody_knows() -> None:
    assert Digest.of(b"") == Digest("sha256", EMPTY)
    assert Digest.of(memoryview(b"")) == Digest("sha256", EMPTY)


def verify(promised: bytes, pieces: list[bytes], algorithm: str = "sha256") -> None:
    verifier = Verifier(Digest(algorithm, hashlib.new(algorithm, promised).hexdigest()), len(promised))
    for piece in pieces:
        verifier.feed(piece)
    verifier.finish()


@given(st.lists(st.binary(max_size=20), max_size=5), st.sampled_from(["sha256", "sha512"]))
def test_the_right_bytes_pass_however_they_are_cut(pieces: list[bytes], algorithm: str) -> None:
    verify(b"".join(pieces), pieces, algorithm)


@given(st.binary(min_size=1, max_size=20), st.data())
def test_one_flipped_bit_does_not_pass(promised: bytes, data: st.DataObject) -> None:
    came = bytearray(promised)
    came[data.draw(st.integers(0, len(came) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Mismatch, match="content does not match its digest"):
        verify(promised, [bytes(came)])


def test_a_short_body_says_how_much_is_missing() -> None:
    with pytest.raises(Mismatch, match="3 bytes too few"):
        verify(b"abcdef", [b"abc"])


def test_the_first_byte_too_many_is_refused_before_the_end() -> None:
    verifier = Verifier(Digest.of(b"abc"), 3)
    verifier.feed(b"abc")
    with pytest.raises(Mismatch, match="1 bytes too many"):
        verifier.feed(b"d")


def test_a_mismatch_says_what_came_and_what_was_promised() -> None:
    error = mismatch(Digest.of(b""), "sha256:other")
    assert error.what == f"content does not match its digest (got sha256:other, expected sha256:{EMPTY})"


def test_an_error_says_what_came_and_what_was_promised() -> None:
    promised = Digest.of(b"content")
    for data, got in ((b"contents", "1 bytes too many"), (b"conten", "1 bytes too few"), (b"contend", str(Digest.of(b"contend")))):
        verifier = Verifier(promised, 7)
        with pytest.raises(Mismatch) as caught:
            feed_and_finish(verifier, data)
        assert f"got {got}, expected {promised}" in caught.value.what


def feed_and_finish(verifier: Verifier, data: bytes) -> None:
    verifier.feed(data)
    verifier.finish()
