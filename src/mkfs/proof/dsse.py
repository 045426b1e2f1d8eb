"""DSSE: a payload, its type, and a signature over both (secure-systems-lab/dsse, protocol.md and envelope.md, 1.0.2).

What is checked is what is used: a payload is decoded once, and whoever verified it gets those bytes. Key ids are unauthenticated
hints and choose nothing.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from mkfs.errors import IntegrityError
from mkfs.proof.keys import SigningKey

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}|[A-Za-z0-9_-]*={0,2}", re.ASCII)


@final
@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload: with one signature, as bundles have it."""

    payload_type: str
    payload: bytes
    signature: bytes

    @property
    def message(self) -> bytes:
        """What the signature is of."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: type and payload with their lengths, so that none can be taken for a part of the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, key: SigningKey) -> Envelope:
    """`payload` in an envelope that `key` signed."""
    return Envelope(payload_type, payload, key.sign(pae(payload_type, payload)))


def encode_envelope(envelope: Envelope) -> dict[str, object]:
    """The envelope as a JSON object, in standard base64 and without a key id, as cosign writes it."""
    return {
        "payload": base64.b64encode(envelope.payload).decode("ascii"),
        "payloadType": envelope.payload_type,
        "signatures": [{"sig": base64.b64encode(envelope.signature).decode("ascii")}],
    }


def decode_envelope(fields: Mapping[str, object]) -> Envelope:
    """Reads an envelope with exactly one signature; what it holds besides is ignored, as the specification asks. Raises
    `IntegrityError`.
    """
    payload_type, signatures = fields.get("payloadType"), fields.get("signatures")
    if not isinstance(payload_type, str) or not payload_type:
        raise IntegrityError("envelope has no payload type")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise IntegrityError("envelope has not exactly one signature")
    return Envelope(payload_type, from_base64(fields.get("payload")), from_base64(signatures[0].get("sig")))


def from_base64(text: object) -> bytes:
    """The bytes of a JSON value in standard or URL-safe base64, padded, nothing in between. Raises `IntegrityError`."""
    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        raise IntegrityError("a value is not base64")
    standard = text.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(standard, validate=True)
    except binascii.Error as error:
        raise IntegrityError("a value is not base64") from error
    if base64.b64encode(data).decode("ascii") != standard:
        raise IntegrityError("a value is not base64 in its one form")
    return data
