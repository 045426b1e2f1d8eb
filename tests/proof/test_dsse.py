"""Envelopes: what is signed is type and payload together, and one envelope has one reading."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import IntegrityError
from mkfs.proof.dsse import Envelope, decode_envelope, encode_envelope, from_base64, pae, sign
from tests.support.signing import key_pair


def test_the_specifications_own_example_is_encoded_as_it_says() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_payloads_are_signed_as_the_same_bytes(kind: str, payload: bytes, other_kind: str, other: bytes) -> None:
    assert (pae(kind, payload) == pae(other_kind, other)) == ((kind, payload) == (other_kind, other))


@given(st.text(min_size=1), st.binary(), st.binary())
def test_an_envelope_reads_back_as_it_was_written(kind: str, payload: bytes, signature: bytes) -> None:
    envelope = Envelope(kind, payload, signature)
    assert decode_envelope(json.loads(json.dumps(encode_envelope(envelope)))) == envelope


def test_a_signature_covers_the_type() -> None:
    key = key_pair()
    envelope = sign("application/a", b"payload", key.signing)
    assert key.public.verifies(envelope.message, envelope.signature)
    assert not key.public.verifies(Envelope("application/b", b"payload", b"").message, envelope.signature)


GOOD: dict[str, Any] = {"payload": "YQ==", "payloadType": "t", "signatures": [{"sig": "YQ==", "keyid": "any"}]}


def test_what_an_envelope_holds_besides_is_ignored() -> None:
    assert decode_envelope({**GOOD, "more": 1}) == Envelope("t", b"a", b"a")


BAD: dict[str, dict[str, Any]] = {
    "no payload": {"payload": None},
    "a payload that is no text": {"payload": 1},
    "no type": {"payloadType": None},
    "a type that is no text": {"payloadType": 7},
    "an empty type": {"payloadType": ""},
    "no signatures": {"signatures": []},
    "signatures that are no list": {"signatures": {"sig": "YQ=="}},
    "two signatures": {"signatures": [{"sig": "YQ=="}, {"sig": "YQ=="}]},
    "a signature that is text": {"signatures": ["YQ=="]},
    "a signature without bytes": {"signatures": [{}]},
    "a signature that is no base64": {"signatures": [{"sig": "Y"}]},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_an_envelope_that_breaks_the_rules_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        decode_envelope({**GOOD, **change})


@given(st.binary())
def test_both_alphabets_of_base64_are_read(data: bytes) -> None:
    assert from_base64(base64.b64encode(data).decode()) == data
    assert from_base64(base64.urlsafe_b64encode(data).decode()) == data


@pytest.mark.parametrize(
    "text",
    [
        "YQ",
        "YQ=",
        "YQ===",
        "Y",
        "YR==",
        "YWJ=",
        " YQ==",
        "YQ==\n",
        "YQ==YQ==",
        "Y=Q=",
        "+_+_",
        "Y\u00e9==",
        "=",
        "====",
        None,
        7,
        b"YQ==",
    ],
    ids=repr,
)
def test_one_value_has_one_text_in_each_alphabet(text: object) -> None:
    with pytest.raises(IntegrityError, match="base64"):
        from_base64(text)
