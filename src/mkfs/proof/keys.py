"""Keys that vouch for indexes and artifacts: public ones to check with, private ones to sign with, both from PEM text.

Theory. Signatures are cosign's: ECDSA over P-256, P-384 or P-521 in DER, Ed25519, RSA of 2048 bits and more. A signature does not
say how it was hashed, and cosign itself signs P-384 with SHA-384 and checks it with SHA-256 unless told otherwise; so both of a
curve's customary hashes are tried, as are both paddings of RSA. We sign with SHA-256 and PKCS #1 v1.5, which every cosign checks by
default.

A key goes by its id: the sha256 of its DER SubjectPublicKeyInfo, in hex here, in base64 where cosign gives it as the hint of a
bundle. Hints choose nothing here: all keys are tried.

`cryptography` is imported when the first key is read, as most mounts need none of it.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self, final

import msgspec

from mkfs.errors import UsageError
from mkfs.units import MIB

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

KEYS_LIMIT: Final = 64  # of one file: each costs a signature check per signature found
_RSA_LEAST_BITS: Final = 2048  # as cosign takes them, and NIST SP 800-131A
_RSA_MOST_BITS: Final = 16384  # OpenSSL's own bound: above, one check takes seconds
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PUBLIC: Final = frozenset({b"PUBLIC KEY", b"RSA PUBLIC KEY"})
_SEALED_BY_COSIGN: Final = frozenset({b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY"})
_SCRYPT_LIMIT_BYTES: Final = 256 * MIB  # cosign's own parameters take 64 MiB of memory; no file makes us take more than this

_Way = Callable[[bytes, bytes], None]  # checks a message and its signature in one way; raises `InvalidSignature`


@final
@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to check signatures with. Equal keys are the same key, whatever file they came from."""

    id: str
    _ways: tuple[_Way, ...] = field(compare=False, repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's of `message`. Never raises for bytes that are no signature."""
        from cryptography.exceptions import InvalidSignature

        for way in self._ways:
            with suppress(InvalidSignature):
                way(message, signature)
                return True
        return False

    @property
    def hint(self) -> str:
        """The id as cosign writes it into a bundle."""
        return base64.b64encode(bytes.fromhex(self.id)).decode("ascii")


@final
@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key to sign with, and its public half."""

    public: PublicKey
    sign: Callable[[bytes], bytes] = field(compare=False, repr=False)

    @classmethod
    def read(cls, pem: bytes, password: bytes | None, where: str = "") -> Self:
        """The one private key in `pem`: PKCS #8 (plain or encrypted), SEC 1, PKCS #1, or sealed by cosign. `where` names the file.

        Raises `UsageError`: no key, one that is not taken, a password missing or wrong.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

        blocks = list(_PEM.finditer(pem))
        if len(blocks) != 1:
            raise UsageError("not the PEM text of one private key", where)
        try:
            if blocks[0][1] in _SEALED_BY_COSIGN:
                key = load_der_private_key(_unseal(blocks[0][0], password or b"", where), None)
            else:
                key = load_pem_private_key(blocks[0][0], password)
        except TypeError as error:  # one was needed and not given, or the other way round
            raise UsageError(
                "the private key is encrypted" if password is None else "the private key has no password", where
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(
                "the private key cannot be read: it is damaged, of another kind, or the password is wrong", where
            ) from error
        return cls(_public(key.public_key(), where), _signer(key))


def read_public_keys(pem: bytes, where: str = "") -> tuple[PublicKey, ...]:
    """All public keys in `pem`, each once; text between them is ignored. `where` names the file.

    Raises `UsageError`: none, too many, a private key or a certificate among them, one of a kind that is not taken.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found: dict[str, PublicKey] = {}
    for block in _PEM.finditer(pem):
        if block[1] not in _PUBLIC:
            hint = "openssl pkey -in KEY -pubout" if b"PRIVATE" in block[1] else "openssl x509 -in CERTIFICATE -noout -pubkey"
            raise UsageError(f"a {block[1].decode().lower()} where public keys belong", where, f"take its public key: {hint}")
        try:
            key = _public(load_pem_public_key(block[0]), where)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError("a public key cannot be read: it is damaged, or of a kind nobody here knows", where) from error
        found[key.id] = key
    if not 0 < len(found) <= KEYS_LIMIT:
        raise UsageError(f"no public key in PEM, or too many (got {len(found)}, expected 1 to {KEYS_LIMIT})", where)
    return tuple(found.values())


def who_signed(message: bytes, signature: bytes, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The first of `keys` whose signature of `message` this is."""
    return next((key for key in keys if key.verifies(message, signature)), None)


def _public(key: "PublicKeyTypes", where: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)):
        ways = _ecdsa_ways(key)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        ways = [partial(_turned, key.verify)]
    elif isinstance(key, rsa.RSAPublicKey) and _RSA_LEAST_BITS <= key.key_size <= _RSA_MOST_BITS:
        ways = _rsa_ways(key)
    else:
        expected = "expected ECDSA P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits and more"
        raise UsageError(f"a key of a kind that is not taken ({expected})", where)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(der).hexdigest(), tuple(ways))


def _turned(verify: Callable[[bytes, bytes], None], message: bytes, signature: bytes) -> None:
    verify(signature, message)  # the library's order


def _ecdsa_ways(key: "ec.EllipticCurvePublicKey") -> list[_Way]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    def way(algorithm: hashes.HashAlgorithm) -> _Way:
        return lambda message, signature: key.verify(signature, message, ec.ECDSA(algorithm))

    customary: dict[int, hashes.HashAlgorithm] = {384: hashes.SHA384(), 521: hashes.SHA512()}
    return [way(hashes.SHA256()), *(way(algorithm) for bits, algorithm in customary.items() if bits == key.key_size)]


def _rsa_ways(key: "rsa.RSAPublicKey") -> list[_Way]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    sha256 = hashes.SHA256()

    def way(pad: padding.PKCS1v15 | padding.PSS) -> _Way:
        return lambda message, signature: key.verify(signature, message, pad, sha256)

    return [way(padding.PKCS1v15()), way(padding.PSS(padding.MGF1(sha256), padding.PSS.AUTO))]


def _signer(key: "PrivateKeyTypes") -> Callable[[bytes], bytes]:
    """How to sign with a key whose public half was taken."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    match key:
        case ec.EllipticCurvePrivateKey():
            return partial(key.sign, signature_algorithm=ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return partial(key.sign, padding=padding.PKCS1v15(), algorithm=hashes.SHA256())
        case ed25519.Ed25519PrivateKey():
            return key.sign
    raise AssertionError(key)  # pragma: no cover - its public half was refused


class _Kdf(msgspec.Struct):
    name: Literal["scrypt"]
    params: dict[str, int]
    salt: bytes  # base64, as all bytes here


class _Cipher(msgspec.Struct):
    name: Literal["nacl/secretbox"]
    nonce: bytes


class _Sealed(msgspec.Struct):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: bytes


def _unseal(pem: bytes, password: bytes, where: str) -> bytes:
    """The DER of a private key that `cosign generate-key-pair` sealed (securesystemslib "encrypted": scrypt, then secretbox).

    Raises `UsageError`, and `ValueError` where the password is wrong or the text damaged.
    """
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError as error:
        hint = "pip install 'mkfs[sign]'; or use a key made by openssl (cosign takes it with import-key-pair)"
        raise UsageError("the private key is sealed by cosign, and PyNaCl is not installed", where, hint) from error
    try:
        sealed = msgspec.json.decode(base64.b64decode(b"".join(pem.splitlines()[1:-1])), type=_Sealed)
        n, r, p = (sealed.kdf.params[name] for name in ("N", "r", "p"))
        if not 0 < 128 * n * r * p <= _SCRYPT_LIMIT_BYTES:
            raise ValueError("parameters of scrypt are out of bounds")
        key = hashlib.scrypt(
            password, salt=sealed.kdf.salt, n=n, r=r, p=p, maxmem=2 * _SCRYPT_LIMIT_BYTES, dklen=SecretBox.KEY_SIZE
        )
        return SecretBox(key).decrypt(sealed.ciphertext, sealed.cipher.nonce)
    except (CryptoError, KeyError, msgspec.DecodeError) as error:
        raise ValueError("sealed key does not open") from error
