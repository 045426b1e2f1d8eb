"""What is found beside an artifact counts when a trusted key signed it about this very artifact, and is refused otherwise."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from mkfs.errors import IntegrityError
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import IN_TOTO
from mkfs.proof.bundle import encode_bundle
from mkfs.proof.cosign import COSIGN_SIGN_PREDICATE, PAYLOAD_LIMIT_BYTES, SIGNATURES_LIMIT, read_signatures
from mkfs.proof.dsse import sign
from mkfs.proof.evidence import Examiner, Refusal, Signature, SignedIndex, SignedStatement, UnsignedIndex
from mkfs.proof.keys import read_public_keys
from mkfs.proof.statement import IndexStatement
from tests.support.cosign import KINDS
from tests.support.golden import GOLDEN
from tests.support.indexed import NOW, IndexedArtifact, sample
from tests.support.signing import KeyPair, key_pair

COSIGN = GOLDEN / "cosign"
MANIFEST = (COSIGN / "manifest.json").read_bytes()
DOCUMENT = (COSIGN / "document.msgpack").read_bytes()
BEFORE = (COSIGN / "before.manifest.json").read_bytes()
PAYLOAD = (COSIGN / "before.payload.json").read_bytes()
NOT_TRUSTED = "a key that is not trusted"


def of_cosign(kind: str, manifest: bytes = MANIFEST) -> Examiner:
    """Who examines with cosign's key of this kind."""
    decoded = decode_manifest(manifest)
    assert isinstance(decoded, Manifest)
    keys = read_public_keys((COSIGN / f"{kind}.pub").read_bytes())
    return Examiner(Digest.of(manifest), manifest, decoded.layers, keys, NOW)


def refused(piece: object) -> str:
    assert isinstance(piece, Refusal), piece
    assert piece.what == "it"
    return piece.reason


@pytest.fixture(scope="module")
def artifact() -> IndexedArtifact:
    return sample()


@pytest.fixture(scope="module")
def key() -> KeyPair:
    return key_pair()


def examiner(artifact: IndexedArtifact, *keys: KeyPair) -> Examiner:
    return Examiner(artifact.subject, artifact.manifest, artifact.described, tuple(key.public for key in keys), NOW)


def signed(statement: IndexStatement, key: KeyPair) -> bytes:
    return encode_bundle(statement.sign(key.signing), key.public.hint)


def about(artifact: IndexedArtifact) -> IndexStatement:
    return IndexStatement.about(artifact.index, artifact.index.encode())


# cosign signs envelopes and files with Ed25519ph respectively Ed25519; the first no library here checks, nor does cosign itself.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ed25519"])
def test_what_cosign_signed_counts(kind: str) -> None:
    examine = of_cosign(kind)
    key_id = examine.keys[0].id
    assert examine.bundle("it", (COSIGN / f"{kind}.sign.json").read_bytes()) == Signature("it", key_id)
    statement = examine.bundle("it", (COSIGN / f"{kind}.attest.json").read_bytes())
    assert isinstance(statement, SignedStatement)
    index = examine.signed_document(statement, DOCUMENT)
    assert isinstance(index, SignedIndex)
    assert (index.what, index.key_id, index.index.encode()) == ("it", key_id, DOCUMENT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_manifest_file_is_a_signature_of_the_artifact(kind: str) -> None:
    data = (COSIGN / f"{kind}.file.json").read_bytes()
    assert of_cosign(kind).bundle("it", data) == Signature("it", of_cosign(kind).keys[0].id)
    other = MANIFEST.replace(b'"schemaVersion": 2', b'"schemaVersion":  2')
    assert other != MANIFEST
    assert NOT_TRUSTED in refused(of_cosign(kind, other).bundle("it", data))


def test_a_form_of_ed25519_that_cannot_be_checked_is_refused() -> None:
    assert NOT_TRUSTED in refused(of_cosign("ed25519").bundle("it", (COSIGN / "ed25519.sign.json").read_bytes()))


def test_a_certificate_is_refused_whoever_made_it() -> None:
    assert "certificate" in refused(of_cosign("p384").bundle("it", (COSIGN / "certificate.json").read_bytes()))


@pytest.mark.parametrize("what", ["sign", "attest", "file"])
def test_nothing_counts_for_another_key_or_for_none(what: str) -> None:
    data = (COSIGN / f"p256.{what}.json").read_bytes()
    assert NOT_TRUSTED in refused(of_cosign("p384").bundle("it", data))
    assert NOT_TRUSTED in refused(replace(of_cosign("p256"), keys=()).bundle("it", data))


@pytest.mark.parametrize("what", ["sign", "attest", "file"])
def test_nothing_counts_for_another_artifact(what: str) -> None:
    other = sample("another").manifest
    reason = refused(of_cosign("p256", other).bundle("it", (COSIGN / f"p256.{what}.json").read_bytes()))
    assert "another artifact" in reason or NOT_TRUSTED in reason


def test_a_changed_byte_anywhere_in_what_cosign_wrote_takes_nothing_but_hints() -> None:
    data = (COSIGN / "p256.sign.json").read_bytes()
    examine, good = of_cosign("p256"), Signature("it", of_cosign("p256").keys[0].id)
    hint = range(data.index(b'"hint"'), data.index(b'"}}'))
    for at in range(0, len(data), 3):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert (examine.bundle("it", changed) == good) <= (at in hint), changed


def test_what_cosign_signed_before_counts() -> None:
    [signature] = read_signatures(BEFORE)
    assert signature.payload.digest == Digest.of(PAYLOAD)
    examine = of_cosign("p256")
    assert examine.payload("it", PAYLOAD, signature.signature) == Signature("it", examine.keys[0].id)
    assert NOT_TRUSTED in refused(of_cosign("rsa").payload("it", PAYLOAD, signature.signature))
    assert NOT_TRUSTED in refused(examine.payload("it", PAYLOAD + b" ", signature.signature))
    assert "base64" in refused(examine.payload("it", PAYLOAD, signature.signature + "="))
    another = sample("another")
    reason = refused(of_cosign("p256", another.manifest).payload("it", PAYLOAD, signature.signature))
    assert reason == f"signature is of another artifact (got '{examine.subject}', expected {another.subject})"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{}", "no signature of an artifact"),
        (b'{"critical":[]}', "no signature of an artifact"),
        (b'{"critical":{"type":"cosign container image signature"}}', "another artifact"),
        (b'{"critical":{"image":[],"type":"cosign container image signature"}}', "another artifact"),
        (b'{"critical":{"image":{"docker-manifest-digest":"SUBJECT"},"type":"atomic container signature"}}', "no signature of"),
        (b'{"critical":{"image":{"docker-manifest-digest":null},"type":"cosign container image signature"}}', "another artifact"),
        (
            b'{"critical":{"image":{},"image":{"docker-manifest-digest":"SUBJECT"},"type":"cosign container image signature"}}',
            "twice",
        ),
        (b" " * PAYLOAD_LIMIT_BYTES + b"{}", "too large"),
    ],
    ids=[
        "nothing",
        "empty",
        "a list",
        "no image",
        "an image that is a list",
        "another type",
        "no digest",
        "a key twice",
        "too large",
    ],
)
def test_a_signed_payload_must_say_that_it_signs_this_artifact(
    artifact: IndexedArtifact, key: KeyPair, payload: bytes, reason: str
) -> None:
    payload = payload.replace(b"SUBJECT", str(artifact.subject).encode())
    signature = base64.b64encode(key.signing.sign(payload)).decode()
    assert reason in refused(examiner(artifact, key).payload("it", payload, signature))


def test_a_manifest_of_earlier_signatures_is_bounded_and_holds_keys_only() -> None:
    fields = json.loads(BEFORE)
    [layer] = fields["layers"]
    certified = {**layer, "annotations": {**layer["annotations"], "dev.sigstore.cosign/certificate": "…"}}
    large = {**layer, "size": PAYLOAD_LIMIT_BYTES + 1}
    bare = {**layer, "annotations": {}}
    other = {**layer, "mediaType": "text/plain"}
    mixed = json.dumps({**fields, "layers": [certified, large, bare, other, layer]}).encode()
    assert read_signatures(mixed) == read_signatures(BEFORE)
    most = json.dumps({**fields, "layers": SIGNATURES_LIMIT * [{**layer, "size": PAYLOAD_LIMIT_BYTES}]}).encode()
    assert len(read_signatures(most)) == SIGNATURES_LIMIT
    for layers, reason in (
        ([certified, large, bare, other], "no signature made with a key"),
        ([], "no signatures"),
        ((SIGNATURES_LIMIT + 1) * [layer], "too many"),
    ):
        with pytest.raises(IntegrityError, match=reason):
            read_signatures(json.dumps({**fields, "layers": layers}).encode())
    with pytest.raises(IntegrityError, match="not valid JSON"):
        read_signatures(b"")
    with pytest.raises(IntegrityError, match="no signatures"):
        read_signatures(b'{"schemaVersion":2,"manifests":[]}')


def test_our_own_statement_counts_until_it_expires(artifact: IndexedArtifact, key: KeyPair) -> None:
    statement = IndexStatement.about(artifact.index, artifact.index.encode(), NOW + timedelta(seconds=1))
    data, examine = signed(statement, key), examiner(artifact, key)
    assert examine.bundle("it", data) == SignedStatement("it", key.public.id, statement)
    late = replace(examine, now=NOW + timedelta(seconds=1))
    assert "expired (at 2026-11-25T12:00:01Z)" in refused(late.bundle("it", data))


def test_a_statement_replayed_from_another_artifact_is_refused(artifact: IndexedArtifact, key: KeyPair) -> None:
    other = sample("another")
    assert other.index.layers[0].layer == artifact.index.layers[0].layer  # the same layers, and signed by the right key
    assert "another artifact" in refused(examiner(artifact, key).bundle("it", signed(about(other), key)))


def test_a_statement_of_another_kind_counts_for_nothing(artifact: IndexedArtifact, key: KeyPair) -> None:
    fields = json.loads(about(artifact).payload())
    fields["predicateType"] = "https://slsa.dev/provenance/v1"
    data = encode_bundle(sign(IN_TOTO, json.dumps(fields).encode(), key.signing), "")
    assert "another kind" in refused(examiner(artifact, key).bundle("it", data))


def test_a_statement_about_the_index_is_no_signature_of_the_artifact(artifact: IndexedArtifact, key: KeyPair) -> None:
    assert not isinstance(examiner(artifact, key).bundle("it", signed(about(artifact), key)), Signature)


def test_a_signature_of_several_artifacts_counts_for_each(artifact: IndexedArtifact, key: KeyPair) -> None:
    subjects = [{"digest": {"sha256": Digest.of(b"other").hex}}, {"digest": {"sha256": artifact.subject.hex}}]
    fields = {"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": COSIGN_SIGN_PREDICATE}
    data = encode_bundle(sign(IN_TOTO, json.dumps(fields).encode(), key.signing), "")
    assert isinstance(examiner(artifact, key).bundle("it", data), Signature)
    assert refused(examiner(sample("another"), key).bundle("it", data)) == "signature is of another artifact"


def test_a_signed_document_must_be_the_signed_one_and_fit_the_manifest(artifact: IndexedArtifact, key: KeyPair) -> None:
    examine, document = examiner(artifact, key), artifact.index.encode()
    statement = examine.bundle("it", signed(about(artifact), key))
    assert isinstance(statement, SignedStatement)
    assert isinstance(examine.signed_document(statement, document), SignedIndex)
    for wrong in (b"", document[:-1], document + b"\0", document[:100] + b"!" + document[101:]):
        assert "does not match its digest" in refused(examine.signed_document(statement, wrong))
    fewer = replace(examine, layers=artifact.described[1:])
    assert "the manifest has not" in refused(fewer.signed_document(statement, document))


def test_an_unsigned_document_must_be_one_and_fit_the_manifest(artifact: IndexedArtifact) -> None:
    examine, document = examiner(artifact), artifact.index.encode()
    found = examine.document("it", document)
    assert isinstance(found, UnsignedIndex)
    assert found.what == "it"
    assert found.index.encode() == document
    assert "does not decode" in refused(examine.document("it", document[:-1]))
    assert "another artifact" in refused(examine.document("it", sample("another").index.encode()))
    resized = (replace(artifact.described[0], size_bytes=1), *artifact.described[1:])
    assert "another size" in refused(replace(examine, layers=resized).document("it", document))


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b"null", b"{" * 100_000])
def test_rubbish_is_refused_and_hurts_nobody(artifact: IndexedArtifact, key: KeyPair, data: bytes) -> None:
    examine = examiner(artifact, key)
    assert refused(examine.bundle("it", data))
    assert refused(examine.document("it", data))
    assert refused(examine.payload("it", data, ""))
