"""cosign's signatures of an artifact itself, made with a key: that somebody vouches for this manifest, whatever it holds.

Two layouts are read. cosign 3 writes a sigstore bundle whose in-toto statement has the manifest as subject and says nothing more.
cosign 1 and 2 wrote a manifest under the tag `sha256-….sig` with a "simple signing" payload per layer and its signature in an
annotation (cosign specs/SIGNATURE_SPEC.md). Certificates and transparency logs are not read: only keys count, as `cosign verify
--key --insecure-ignore-tlog` has it. (`cosign verify` takes any statement about the manifest for a signature, ours about its chunk
index included; here only the one that says so counts.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from mkfs.errors import BadDocument, IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import COSIGN_SIMPLE_SIGNING
from mkfs.proof.dsse import from_base64
from mkfs.proof.keys import PublicKey, who_signed
from mkfs.units import KIB

COSIGN_SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
PAYLOAD_LIMIT_BYTES: Final = 64 * KIB  # of a simple signing payload; real ones have some 250 bytes
SIGNATURES_LIMIT: Final = 64  # of one `.sig` manifest: it grows by one with each signing

_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
_TYPE: Final = "cosign container image signature"


@final
@dataclass(frozen=True, slots=True)
class SimpleSigning:
    """One signature of a `.sig` manifest: fetch and prove `payload`, then ask `signer_of_payload`."""

    payload: Descriptor
    signature: str  # base64, as it stands in the annotation


def read_signatures(manifest: bytes) -> tuple[SimpleSigning, ...]:
    """The signatures in the manifest under a `.sig` tag, without those made with a certificate.

    Raises `IntegrityError` where it is no such manifest or has no signature made with a key.
    """
    try:
        decoded = decode_manifest(manifest)
    except BadDocument as error:
        raise IntegrityError(error.what) from error
    if not isinstance(decoded, Manifest) or not decoded.layers:
        raise IntegrityError("manifest holds no signatures")
    if len(decoded.layers) > SIGNATURES_LIMIT:
        raise IntegrityError(f"manifest holds too many signatures (got {len(decoded.layers)}, expected at most {SIGNATURES_LIMIT})")
    found = tuple(SimpleSigning(layer, layer.annotations[_SIGNATURE]) for layer in decoded.layers if _is_by_key(layer))
    if not found:
        raise IntegrityError("manifest holds no signature made with a key (certificates for identities are not checked here)")
    return found


def signer_of_payload(payload: bytes, signature: str, subject: Digest, keys: Iterable[PublicKey]) -> PublicKey:
    """Which of `keys` signed that the artifact with manifest `subject` is vouched for, in the simple signing layout.

    Raises `IntegrityError`: none of them, something else signed, another artifact.
    """
    key = who_signed(payload, from_base64(signature), keys)
    if key is None:
        raise IntegrityError("signed by a key that is not trusted here, or not signed at all")
    try:
        critical = _object(decode_json(payload, PAYLOAD_LIMIT_BYTES, "signed payload").get("critical"))
    except BadDocument as error:
        raise IntegrityError(error.what) from error
    if critical.get("type") != _TYPE:
        raise IntegrityError("signed payload is no signature of an artifact")
    signed = _object(critical.get("image")).get("docker-manifest-digest")
    if signed != str(subject):
        raise IntegrityError(f"signature is of another artifact (got {str(signed)[:80]!a}, expected {subject})")
    return key


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _is_by_key(layer: Descriptor) -> bool:
    return (
        layer.media_type == COSIGN_SIMPLE_SIGNING
        and layer.size_bytes <= PAYLOAD_LIMIT_BYTES
        and _SIGNATURE in layer.annotations
        and _CERTIFICATE not in layer.annotations
    )
