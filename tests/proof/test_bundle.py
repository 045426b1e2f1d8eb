"""Bundles: cosign's own are read, those that need more than a key are refused with that reason, and one text has one reading."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mkfs.errors import IntegrityError
from mkfs.oci.media_types import SIGSTORE_BUNDLE
from mkfs.proof.bundle import BUNDLE_LIMIT_BYTES, Bundle, MessageSignature, decode_bundle, encode_bundle
from mkfs.proof.dsse import Envelope
from tests.support.cosign import KINDS
from tests.support.golden import GOLDEN

COSIGN = GOLDEN / "cosign"
REAL = (COSIGN / "p256.sign.json").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_what_cosign_writes_is_read(kind: str) -> None:
    for what in ("sign", "attest"):
        assert isinstance(decode_bundle((COSIGN / f"{kind}.{what}.json").read_bytes()).content, Envelope)
    assert isinstance(decode_bundle((COSIGN / f"{kind}.file.json").read_bytes()).content, MessageSignature)


def test_what_we_write_is_what_cosign_writes() -> None:
    bundle = decode_bundle(REAL)
    assert isinstance(bundle.content, Envelope)
    assert json.loads(encode_bundle(bundle.content, bundle.hint)) == json.loads(REAL)
    assert encode_bundle(bundle.content, bundle.hint) == REAL


def test_a_bundle_for_an_identity_is_refused_with_the_reason() -> None:
    with pytest.raises(IntegrityError, match="certificate for an identity"):
        decode_bundle((COSIGN / "certificate.json").read_bytes())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_older_names_of_the_format_are_read(version: int) -> None:
    older = f"application/vnd.dev.sigstore.bundle+json;version=0.{version}"
    assert decode_bundle(REAL.replace(SIGSTORE_BUNDLE.encode(), older.encode())) == decode_bundle(REAL)


def test_log_entries_and_a_missing_hint_change_nothing() -> None:
    fields = json.loads(REAL)
    fields["verificationMaterial"] = {"publicKey": {}, "tlogEntries": [{"logIndex": "1"}], "timestampVerificationData": {}}
    assert decode_bundle(json.dumps(fields).encode()) == Bundle(decode_bundle(REAL).content, "")


def test_a_hint_that_is_no_text_is_none() -> None:
    fields = json.loads(REAL)
    for hint in (7, None, ["x"]):
        fields["verificationMaterial"] = {"publicKey": {"hint": hint}}
        assert decode_bundle(json.dumps(fields).encode()).hint == ""


def test_the_hint_of_a_signed_file_is_read_too() -> None:
    fields = json.loads((COSIGN / "p256.file.json").read_bytes())
    fields["verificationMaterial"] = {"publicKey": {"hint": "which"}}
    assert decode_bundle(json.dumps(fields).encode()).hint == "which"


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(REAL)
    change(fields)
    return json.dumps(fields).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not valid JSON"),
    "a list": (b"[]", "not a JSON object"),
    "cut short": (REAL[:-1], "not valid JSON"),
    "more behind it": (REAL + b"{}", "not valid JSON"),
    "a key twice": (REAL[:-1] + b',"dsseEnvelope":{}}', "twice"),
    "a deep key twice": (REAL.replace(b'"payload":', b'"payload":"YQ==","payload":'), "twice"),
    "no text": (b"\xff\xfe", "UTF-8"),
    "too large": (REAL + b" " * BUNDLE_LIMIT_BYTES, "too large"),
    "another version": (changed(lambda fields: fields.update(mediaType=SIGSTORE_BUNDLE.replace("0.3", "0.4"))), "type"),
    "no type": (changed(lambda fields: fields.pop("mediaType")), "type"),
    "a list for a type": (changed(lambda fields: fields.update(mediaType=[])), "type"),
    "a field nobody knows": (changed(lambda fields: fields.update(more=1)), "more"),
    "a field in the other case": (changed(lambda fields: fields.update(DsseEnvelope={})), "DsseEnvelope"),
    "no content": (changed(lambda fields: fields.pop("dsseEnvelope")), "exactly one"),
    "two contents": (changed(lambda fields: fields.update(messageSignature={"signature": "YQ=="})), "exactly one"),
    "no material": (changed(lambda fields: fields.pop("verificationMaterial")), "verificationMaterial"),
    "a material of nothing": (changed(lambda fields: fields.update(verificationMaterial={})), "publicKey"),
    "a chain of certificates": (
        changed(lambda fields: fields.update(verificationMaterial={"x509CertificateChain": {"certificates": []}})),
        "certificate",
    ),
    "a key and a certificate": (changed(lambda fields: fields["verificationMaterial"].update(certificate={})), "certificate"),
    "an envelope that is text": (changed(lambda fields: fields.update(dsseEnvelope="YQ==")), "dsseEnvelope"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_bundle_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(IntegrityError, match=reason):
        decode_bundle(data)


def test_a_bundle_of_another_type_is_named() -> None:
    with pytest.raises(IntegrityError, match="got 'application/zip'"):
        decode_bundle(changed(lambda fields: fields.update(mediaType="application/zip")))
