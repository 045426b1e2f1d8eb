"""Keys made for one test."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mkfs.proof.keys import PublicKey, SigningKey, read_public_keys


@dataclass(frozen=True)
class KeyPair:
    """A key as both its users have it: PEM text on disk, and read."""

    private_pem: bytes
    public_pem: bytes

    @property
    def signing(self) -> SigningKey:
        return SigningKey.read(self.private_pem, None)

    @property
    def public(self) -> PublicKey:
        return read_public_keys(self.public_pem)[0]


def key_pair(key: PrivateKeyTypes | None = None) -> KeyPair:
    """`key`, or a new one on P-256."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public)


def encrypted(key: PrivateKeyTypes, password: bytes) -> bytes:
    """`key` as encrypted PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
