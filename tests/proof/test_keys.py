"""Keys: what cosign and openssl write is read, what is no key is said to be none, and a signature counts for its own key only."""

import base64
import hashlib
import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.secret import SecretBox

from mkfs.errors import UsageError
from mkfs.proof.bundle import decode_bundle
from mkfs.proof.keys import KEYS_LIMIT, SigningKey, read_public_keys, who_signed
from tests.support.cosign import KINDS, PASSWORD
from tests.support.golden import GOLDEN
from tests.support.signing import encrypted, key_pair

COSIGN = GOLDEN / "cosign"


def made(kind: str) -> PrivateKeyTypes:
    match kind:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_good_for_its_key_and_its_message_alone(kind: str) -> None:
    key, other = key_pair(made(kind)), key_pair(made(kind))
    signature = key.signing.sign(b"message")
    assert key.public.verifies(b"message", signature)
    assert not key.public.verifies(b"massage", signature)
    assert not other.public.verifies(b"message", signature)
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), signature[:-1] + bytes([signature[-1] ^ 1])):
        assert not key.public.verifies(b"message", wrong)
    assert who_signed(b"message", signature, [other.public, key.public]) == key.public
    assert who_signed(b"message", signature, [other.public]) is None
    assert who_signed(b"message", signature, []) is None


@pytest.mark.parametrize(("kind", "algorithm"), [("p384", hashes.SHA384()), ("p521", hashes.SHA512())])
def test_the_hash_that_cosign_takes_for_a_curve_is_taken_too(kind: str, algorithm: hashes.HashAlgorithm) -> None:
    private = made(kind)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert key_pair(private).public.verifies(b"message", private.sign(b"message", ec.ECDSA(algorithm)))


def test_a_weak_hash_is_not_taken() -> None:
    private = made("p256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert not key_pair(private).public.verifies(b"message", private.sign(b"message", ec.ECDSA(hashes.SHA1())))


@pytest.mark.parametrize("salt_bytes", [32, 222])
def test_both_paddings_of_rsa_are_taken(salt_bytes: int) -> None:
    private = made("rsa")
    assert isinstance(private, rsa.RSAPrivateKey)
    sha256 = hashes.SHA256()
    signature = private.sign(b"message", padding.PSS(padding.MGF1(sha256), salt_bytes), sha256)
    assert key_pair(private).public.verifies(b"message", signature)
    assert not key_pair(private).public.verifies(b"message", private.sign(b"message", padding.PKCS1v15(), hashes.SHA1()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_goes_by_the_id_that_cosign_gives_it(kind: str) -> None:
    [key] = read_public_keys((COSIGN / f"{kind}.pub").read_bytes())
    assert key.hint == decode_bundle((COSIGN / f"{kind}.sign.json").read_bytes()).hint
    assert len(key.id) == 64


def test_one_file_may_hold_several_keys_and_text_between_them() -> None:
    pems = [(COSIGN / f"{kind}.pub").read_bytes() for kind in KINDS]
    keys = read_public_keys(b"# the team\n" + b"\nand\n".join([*pems, pems[0]]))
    assert len(keys) == len(set(keys)) == len(KINDS)


def test_a_key_in_the_older_form_of_rsa_is_the_same_key() -> None:
    private = made("rsa")
    older = private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert read_public_keys(older) == (key_pair(private).public,)


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "no public key"),
        (b"ssh-ed25519 AAAA", "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END CERTIFICATE-----\n", "no public key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate where"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key where"),
    ],
)
def test_a_file_without_usable_public_keys_is_an_error_that_names_it(pem: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        read_public_keys(pem, "team.pub")
    assert caught.value.where == "team.pub"


@pytest.mark.parametrize(("block", "command"), [("EC PRIVATE KEY", "openssl pkey"), ("CERTIFICATE", "openssl x509")])
def test_who_gives_something_else_is_told_how_to_get_the_public_key(block: str, command: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_public_keys(f"-----BEGIN {block}-----\nAAAA\n-----END {block}-----\n".encode())
    assert command in caught.value.hint
    assert caught.value.where == ""


@pytest.mark.parametrize(
    "private",
    [ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 1024), ed448.Ed448PrivateKey.generate()],
    ids=["another curve", "a short RSA key", "Ed448"],
)
def test_a_key_that_cosign_would_not_take_is_refused(private: PrivateKeyTypes) -> None:
    with pytest.raises(UsageError, match=r"not taken .*Ed25519") as caught:
        read_public_keys(key_pair(private).public_pem, "team.pub")
    assert caught.value.where == "team.pub"
    with pytest.raises(UsageError, match="not taken") as caught:
        SigningKey.read(key_pair(private).private_pem, None, "key.pem")
    assert caught.value.where == "key.pem"


@pytest.mark.parametrize(("bits", "taken"), [(2047, False), (2048, True), (16384, True), (16385, False)])
def test_an_rsa_key_has_a_least_and_a_most_size(bits: int, taken: bool) -> None:
    number = rsa.RSAPublicNumbers(65537, 2**bits - 1).public_key()
    pem = number.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if taken:
        assert len(read_public_keys(pem)) == 1
    else:
        with pytest.raises(UsageError, match="not taken"):
            read_public_keys(pem)


def test_a_good_key_does_not_hide_a_bad_one() -> None:
    with pytest.raises(UsageError):
        read_public_keys(key_pair().public_pem + b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


def test_too_many_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.proof.keys.KEYS_LIMIT", 1)
    assert len(read_public_keys(key_pair().public_pem)) == 1
    with pytest.raises(UsageError, match="got 2"):
        read_public_keys(key_pair().public_pem + key_pair().public_pem)
    assert KEYS_LIMIT > 1


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_a_private_key_is_read_in_the_forms_that_openssl_writes(kind: str, form: PrivateFormat) -> None:
    private = made(kind)
    pem = private.private_bytes(Encoding.PEM, form, NoEncryption())
    assert SigningKey.read(pem, None).public == key_pair(private).public


def test_an_encrypted_key_needs_its_password() -> None:
    private = made("p256")
    pem = encrypted(private, b"right")
    assert SigningKey.read(pem, b"right").public == key_pair(private).public
    with pytest.raises(UsageError, match="is encrypted"):
        SigningKey.read(pem, None, "key.pem")
    with pytest.raises(UsageError, match="password is wrong"):
        SigningKey.read(pem, b"wrong", "key.pem")
    with pytest.raises(UsageError, match="has no password") as caught:
        SigningKey.read(key_pair(private).private_pem, b"any", "key.pem")
    assert caught.value.where == "key.pem"


def test_a_key_that_cosign_sealed_is_opened_with_its_password() -> None:
    pem, public = (COSIGN / "p256.key").read_bytes(), read_public_keys((COSIGN / "p256.pub").read_bytes())[0]
    key = SigningKey.read(pem, PASSWORD.encode())
    assert key.public == public
    assert public.verifies(b"message", key.sign(b"message"))
    for password in (None, b"wrong"):
        with pytest.raises(UsageError, match="password is wrong"):
            SigningKey.read(pem, password, "cosign.key")


def test_a_key_that_was_sealed_with_no_password_is_opened_without_one() -> None:
    private = made("p256")
    salt, params = b"salt", {"N": 16, "r": 1, "p": 1}
    box = SecretBox(hashlib.scrypt(b"", salt=salt, n=16, r=1, p=1, dklen=SecretBox.KEY_SIZE))
    nonce = bytes(SecretBox.NONCE_SIZE)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = {
        "kdf": {"name": "scrypt", "params": params, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(box.encrypt(der, nonce).ciphertext).decode(),
    }
    kind = b"ENCRYPTED SIGSTORE PRIVATE KEY"
    text = base64.b64encode(json.dumps(sealed).encode())
    pem = b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (kind, text, kind)
    for password in (None, b""):
        assert SigningKey.read(pem, password).public == key_pair(private).public


def test_without_pynacl_a_sealed_key_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.secret", None)
    with pytest.raises(UsageError, match="sealed by cosign") as caught:
        SigningKey.read((COSIGN / "p256.key").read_bytes(), PASSWORD.encode(), "cosign.key")
    assert "mkfs[sign]" in caught.value.hint
    assert caught.value.where == "cosign.key"


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        (COSIGN / "p256.pub").read_bytes(),
        2 * (COSIGN / "p256.key").read_bytes(),
    ],
    ids=["nothing", "damaged", "sealed and damaged", "sealed and empty", "a public key", "two keys"],
)
def test_what_is_no_private_key_is_an_error_that_names_the_file(pem: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        SigningKey.read(pem, PASSWORD.encode(), "key.pem")
    assert caught.value.where == "key.pem"


@pytest.mark.parametrize("changed", [{"N": 2**22}, {"p": 2**20}, {"r": 2**20}, {"N": 0}, {"p": -1}], ids=str)
def test_no_file_makes_the_password_cost_more_than_its_bound(monkeypatch: pytest.MonkeyPatch, changed: dict[str, int]) -> None:
    asked: list[object] = []
    monkeypatch.setattr("mkfs.proof.keys.hashlib.scrypt", lambda *_, **options: asked.append(options) or bytes(32))
    head, *text, foot = (COSIGN / "p256.key").read_bytes().splitlines()
    sealed = json.loads(base64.b64decode(b"".join(text)))
    for params in ({}, changed):
        sealed["kdf"]["params"] |= params
        pem = b"\n".join([head, base64.b64encode(json.dumps(sealed).encode()), foot])
        with pytest.raises(UsageError, match="cannot be read"):
            SigningKey.read(pem, PASSWORD.encode())
    assert len(asked) == 1  # for the file as cosign wrote it


def test_a_password_may_cost_as_much_as_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, int]] = []
    monkeypatch.setattr("mkfs.proof.keys.hashlib.scrypt", lambda *_, **options: asked.append(options) or bytes(32))
    head, *text, foot = (COSIGN / "p256.key").read_bytes().splitlines()
    sealed = json.loads(base64.b64decode(b"".join(text)))
    sealed["kdf"]["params"] = {"N": 2**18, "r": 8, "p": 1}  # 256 MiB
    pem = b"\n".join([head, base64.b64encode(json.dumps(sealed).encode()), foot])
    with pytest.raises(UsageError, match="cannot be read"):  # as the key that scrypt gave is none
        SigningKey.read(pem, PASSWORD.encode())
    assert [(options["n"], options["r"], options["p"]) for options in asked] == [(2**18, 8, 1)]


def test_neither_key_shows_its_secret() -> None:
    key = key_pair()
    assert key.public.id in repr(key.signing)
    assert "0x" not in repr(key.signing)


def test_the_library_is_loaded_with_the_first_key_and_not_before() -> None:
    program = (
        "import sys, mkfs.proof.policy, mkfs.proof.trust_settings, mkfs.proof.referrers; sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
