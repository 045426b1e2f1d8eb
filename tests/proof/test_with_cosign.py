"""What we sign, the real cosign accepts; what the real cosign signs, we accept. `COSIGN=/path/to/cosign` (3 or newer) gives it."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.proof.bundle import encode_bundle
from mkfs.proof.cosign import read_signatures
from mkfs.proof.evidence import Examiner, Refusal, Signature, SignedIndex, SignedStatement
from mkfs.proof.keys import SigningKey, read_public_keys
from mkfs.proof.referrers import bundle_referrer, index_referrer, read_bundle_referrer
from mkfs.proof.statement import CHUNK_INDEX_PREDICATE, IndexStatement
from tests.support.cosign import KINDS, PASSWORD, Cosign, blob_of, manifest_of, push_referrers, referrers_of
from tests.support.docker_registry import running
from tests.support.indexed import NOW, IndexedArtifact, sample
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.registry, pytest.mark.given("COSIGN")]

REPOSITORY = "acme/model"


@pytest.fixture(scope="module")
def cosign(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    made = Cosign(os.environ["COSIGN"], tmp_path_factory.mktemp("cosign"))
    for kind in KINDS:
        made.make_key(kind)
    return made


@pytest.fixture
def pusher(docker_registry: Path, tmp_path: Path) -> Iterator[Pusher]:
    with running(docker_registry, tmp_path / "registry") as registry, closing(Pusher(registry.host)) as pushing:
        yield pushing


@pytest.fixture
def pushed(pusher: Pusher) -> IndexedArtifact:
    artifact = sample()
    blobs = {layer.descriptor.digest: layer.blob for layer in artifact.layers} | {Digest.of(b"{}"): b"{}"}
    pusher.push(REPOSITORY, "v1", artifact.manifest, blobs)
    return artifact


def name_of(pusher: Pusher, artifact: IndexedArtifact) -> str:
    return f"{pusher.host}/{REPOSITORY}@{artifact.subject}"


def examiner(cosign: Cosign, kind: str, artifact: IndexedArtifact) -> Examiner:
    keys = read_public_keys((cosign.directory / f"{kind}.pub").read_bytes())
    return Examiner(artifact.subject, artifact.manifest, artifact.described, keys, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_cosign_verifies_the_statement_that_we_signed_and_no_other_key_does(
    cosign: Cosign, pusher: Pusher, pushed: IndexedArtifact, kind: str
) -> None:
    key = SigningKey.read((cosign.directory / f"{kind}.pem").read_bytes(), None)
    assert key == SigningKey.read((cosign.directory / f"{kind}.key").read_bytes(), PASSWORD.encode())
    document = pushed.index.encode()
    bundle = encode_bundle(IndexStatement.about(pushed.index, document).sign(key), key.public.hint)
    referrers = [index_referrer(pushed.descriptor, document), bundle_referrer(pushed.descriptor, bundle, NOW)]
    push_referrers(pusher, REPOSITORY, pushed.subject, referrers)
    assert cosign.accepts_statement(kind, name_of(pusher, pushed), CHUNK_INDEX_PREDICATE)
    other = KINDS[KINDS.index(kind) - 1]
    assert not cosign.accepts_statement(other, name_of(pusher, pushed), CHUNK_INDEX_PREDICATE)


# cosign signs with Ed25519ph and verifies with Ed25519, so it does not accept its own signatures by such keys.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ed25519"])
def test_we_accept_what_cosign_signed(cosign: Cosign, pusher: Pusher, pushed: IndexedArtifact, kind: str, tmp_path: Path) -> None:
    document, predicate = pushed.index.encode(), tmp_path / "predicate.json"
    predicate.write_bytes(IndexStatement.about(pushed.index, document).predicate())
    cosign.sign(kind, name_of(pusher, pushed))
    cosign.attest(kind, name_of(pusher, pushed), predicate, CHUNK_INDEX_PREDICATE)
    found = {
        type(piece): piece
        for manifest in referrers_of(pusher, REPOSITORY, pushed.subject)
        for blob in [read_bundle_referrer(manifest, pushed.subject)]
        for piece in [examiner(cosign, kind, pushed).bundle("it", blob_of(pusher, REPOSITORY, blob))]
    }
    assert found.keys() == {Signature, SignedStatement}
    signed = found[SignedStatement]
    assert isinstance(signed, SignedStatement)
    assert isinstance(examiner(cosign, kind, pushed).signed_document(signed, document), SignedIndex)


def test_we_accept_what_earlier_versions_of_cosign_signed(cosign: Cosign, pusher: Pusher, pushed: IndexedArtifact) -> None:
    cosign.sign_as_before("p256", name_of(pusher, pushed))
    cosign.sign_as_before("rsa", name_of(pusher, pushed))
    tag = f"{pushed.subject.algorithm}-{pushed.subject.hex}.sig"
    signatures = read_signatures(manifest_of(pusher, REPOSITORY, tag))
    payloads = [blob_of(pusher, REPOSITORY, signature.payload) for signature in signatures]
    for kind, expected in (("p256", [Signature, Refusal]), ("rsa", [Refusal, Signature])):
        found = [
            examiner(cosign, kind, pushed).payload("it", payload, signature.signature)
            for payload, signature in zip(payloads, signatures, strict=True)
        ]
        assert [type(piece) for piece in found] == expected
