"""Sigstore bundles, the JSON that cosign attaches to artifacts: a signature and what it takes to check it (protobuf-specs,
sigstore_bundle.proto).

Only bundles signed by a key are read. Those with a certificate, for an identity, need a trusted root and a transparency log, which
is another kind of trust: they are refused with that reason. Log entries and timestamps beside a key say nothing we ask for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from mkfs.errors import BadDocument, IntegrityError
from mkfs.oci.json import decode_json
from mkfs.oci.media_types import SIGSTORE_BUNDLE
from mkfs.proof.dsse import Envelope, decode_envelope, encode_envelope, from_base64
from mkfs.units import MIB

BUNDLE_LIMIT_BYTES: Final = 4 * MIB  # a statement about the layers of the largest manifest that registries take

_OLDER: Final = "application/vnd.dev.sigstore.bundle+json;version=0."  # and 1, 2 or 3; the same for what is read here
_MEDIA_TYPES: Final = (SIGSTORE_BUNDLE, f"{_OLDER}1", f"{_OLDER}2", f"{_OLDER}3")  # compared, not hashed: JSON has lists
_FIELDS: Final = frozenset({"mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"})
_CERTIFICATES: Final = frozenset({"certificate", "x509CertificateChain"})


@final
@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature of bytes that are somewhere else. What the bundle says of their digest is unauthenticated and left out."""

    signature: bytes


@final
@dataclass(frozen=True, slots=True)
class Bundle:
    """What a key signed, and cosign's hint which key ("" for none; it proves nothing)."""

    content: Envelope | MessageSignature
    hint: str


def encode_bundle(envelope: Envelope, hint: str) -> bytes:
    """A version 0.3 bundle of an envelope that a key signed, in the order cosign writes it."""
    bundle = {
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": encode_envelope(envelope),
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def decode_bundle(data: bytes) -> Bundle:
    """Reads a bundle of version 0.1 to 0.3. Nothing is verified yet. Raises `IntegrityError`."""
    try:
        fields = decode_json(data, BUNDLE_LIMIT_BYTES, "bundle")
    except BadDocument as error:
        raise IntegrityError(error.what) from error
    if fields.get("mediaType") not in _MEDIA_TYPES:
        raise IntegrityError(f"bundle is of a type nobody here reads (got {str(fields.get('mediaType'))[:80]!a})")
    if unknown := fields.keys() - _FIELDS:
        raise IntegrityError(f"bundle has a field nobody here knows ({min(unknown)[:80]!a})")
    hint = _hint(_object(fields, "verificationMaterial"))
    if ("dsseEnvelope" in fields) == ("messageSignature" in fields):
        raise IntegrityError("bundle has not exactly one of an envelope and a message signature")
    if "dsseEnvelope" in fields:
        return Bundle(decode_envelope(_object(fields, "dsseEnvelope")), hint)
    return Bundle(MessageSignature(from_base64(_object(fields, "messageSignature").get("signature"))), hint)


def _hint(material: Mapping[str, object]) -> str:
    if _CERTIFICATES & material.keys():
        raise IntegrityError("signed with a certificate for an identity, not with a key; only keys are checked here")
    hint = _object(material, "publicKey").get("hint", "")
    return hint if isinstance(hint, str) else ""


def _object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise IntegrityError(f"bundle has no {name}")
    return value
