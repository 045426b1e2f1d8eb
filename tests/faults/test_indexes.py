"""Group I: chunk indexes and signatures that are wrong, of something else, of somebody else, or lies, beside what is mounted.

What each says to whoever examines it is tested in tests/proof. Here all that is refused hangs on one artifact at once: every byte
of it is right, and for each the log has the reason. What is signed and lies is an error of the bytes it lies about, no others.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import IN_TOTO, OCI_MANIFEST
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES, ArtifactIndex
from mkfs.proof.bundle import encode_bundle
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex
from mkfs.proof.dsse import sign
from mkfs.proof.referrers import Referrer, bundle_referrer, index_referrer
from mkfs.proof.statement import IndexStatement
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.faults import Fault, Html200, Match, Status
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import KIB, MIB
from tests.archive.tarballs import END, member
from tests.faults.inputs import FINE, INTEGRITY, REPOSITORY, Stand, modelpack, packed, raw
from tests.faults.oracle import Outcome, attempt, run
from tests.proof.test_artifact_index import changed
from tests.support.golden import GOLDEN
from tests.support.indexed import layer, table_of
from tests.support.mounting import Shell
from tests.support.signing import KeyPair, key_pair

pytestmark = [pytest.mark.fuse, pytest.mark.fault("I"), pytest.mark.share(4)]

WEIGHTS = Random(9).randbytes(4 * MIB + 7)
LARGE, SMALL = Random(10).randbytes(2 * MIB), bytes(range(256)) * 4
ARCHIVE = member(b"large", LARGE) + member(b"one", SMALL) + member(b"two", SMALL[::-1]) + END
MADE = modelpack(raw("w", WEIGHTS), packed(ARCHIVE))
FILES = {"fine": FINE, "w": WEIGHTS, "large": LARGE, "one": SMALL, "two": SMALL[::-1]}

SUBJECT = Descriptor(OCI_MANIFEST, MADE.digest, len(MADE.manifest))
OF_WEIGHTS, OF_ARCHIVE = layer(WEIGHTS, None).index, layer(ARCHIVE, table_of(ARCHIVE)).index
RIGHT = ArtifactIndex(MADE.digest, [OF_WEIGHTS, OF_ARCHIVE])
DOCUMENT = RIGHT.encode()
ANOTHER = Digest.of(b"another artifact")
NOW = datetime.now(UTC)
KEY, STRANGER = key_pair(), key_pair()


def hang(registry: MemoryRegistry, referrer: Referrer) -> Digest:
    """Hangs it on the artifact."""
    contents = registry.repositories[REPOSITORY]
    contents.blobs.update((blob.digest, MemoryBody(data)) for blob, data in referrer.blobs)
    return contents.add_manifest(referrer.manifest, None, OCI_MANIFEST)


def statement(index: ArtifactIndex = RIGHT, *, expires: datetime | None = None) -> IndexStatement:
    return IndexStatement.about(index, index.encode(), expires)


def signed(what: IndexStatement, key: KeyPair = KEY) -> bytes:
    return encode_bundle(what.sign(key.signing), key.public.hint)


def signed_payload(change: Callable[[dict[str, Any]], object], payload_type: str = IN_TOTO) -> bytes:
    """A bundle of a statement that says something else, and is signed."""
    payload = json.loads(statement().payload())
    change(payload)
    return encode_bundle(sign(payload_type, json.dumps(payload).encode(), KEY.signing), KEY.public.hint)


def rewritten(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A bundle that was changed after it was signed."""
    bundle = json.loads(signed(statement()))
    change(bundle)
    return json.dumps(bundle).encode()


def of_weights(content: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in content["layers"] if each["table"] is None)


def of_archive(content: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in content["layers"] if each["table"] is not None)


# name: the document, why it is not believed
DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "another blob": (ArtifactIndex(MADE.digest, [layer(SMALL, None).index]).encode(), "a layer that the manifest has not"),
    "another manifest": (ArtifactIndex(ANOTHER, [OF_WEIGHTS]).encode(), "is of another artifact"),
    "a chunk too few": (
        changed(DOCUMENT, lambda content: of_weights(content).update(digests=OF_WEIGHTS.digests[:-DIGEST_BYTES])),
        "wrong length",
    ),
    "a chunk too many": (
        changed(DOCUMENT, lambda content: of_weights(content).update(digests=OF_WEIGHTS.digests + bytes(DIGEST_BYTES))),
        "wrong length",
    ),
    "wrong end": (
        changed(DOCUMENT, lambda content: of_weights(content).update(content_bytes=len(WEIGHTS) - 1)),
        "do not tile",
    ),
    "wrong size": (
        ArtifactIndex(
            MADE.digest, [ChunkIndex(OF_WEIGHTS.layer, layer(WEIGHTS[:-1], None).index.grid, OF_WEIGHTS.digests, None)]
        ).encode(),
        "another size than the manifest",
    ),
    "chunks of another size": (
        changed(DOCUMENT, lambda content: of_weights(content).update(chunk_bytes=64 * KIB)),
        "has other chunks",
    ),
    "size of 2 to the 63rd": (
        changed(DOCUMENT, lambda content: of_weights(content).update(stored_bytes=1 << 63, content_bytes=1 << 63)),
        "larger than a layer can be",
    ),
    "chaining values": (changed(DOCUMENT, lambda content: of_weights(content).update(chaining=bytes(32))), "does not decode"),
    "version of tomorrow": (changed(DOCUMENT, lambda content: content.update(version=2)), "of version 2"),
    "name that leads upwards": (
        changed(DOCUMENT, lambda content: of_archive(content)["table"][1].__setitem__(0, b"../x")),
        "upwards",
    ),
    "entries over one another": (
        changed(DOCUMENT, lambda content: of_archive(content)["table"][2].__setitem__(4, 2 * MIB)),
        "layer sha256",
    ),
    "layer twice": (changed(DOCUMENT, lambda content: content["layers"].append(content["layers"][-1])), "a layer twice"),
    "cut": (DOCUMENT[:-1], "does not decode"),
    "another encoding of the same": (DOCUMENT.replace(b"\xa7version\x01", b"\xa7version\xcc\x01"), "not in its one encoding"),
    "more behind it": (DOCUMENT + b"\0", "does not decode"),
    "nothing": (b"", "does not decode"),
    "an array of 4,294,967,295": (b"\xdd\xff\xff\xff\xff", "does not decode"),
    "depth of 100,000": (b"\x91" * 100_000, "does not decode"),
}

BUNDLES: dict[str, tuple[bytes, str]] = {
    "key of a stranger": (signed(statement(), STRANGER), "a key that is not trusted here"),
    "expired": (signed(statement(expires=NOW - timedelta(days=1))), "has expired"),
    "replayed from another artifact": (signed(statement(ArtifactIndex(ANOTHER, [OF_WEIGHTS]))), "about another artifact"),
    "other layers than its document": (signed(replace(statement(), layers=())), "other layers than its statement says"),
    "document that is not there": (
        signed(replace(statement(), index=replace(statement().index, digest=ANOTHER))),
        "the signed chunk index was not there",
    ),
    "document said to be huge": (
        signed_payload(lambda said: said["predicate"]["index"].update(size=DOCUMENT_LIMIT_BYTES + 1)),
        "too large",
    ),
    "field that may restrict it": (signed_payload(lambda said: said["predicate"].update(only="w")), "breaks the rules"),
    "statement of another kind": (signed_payload(lambda said: said.update(predicateType="urn:other:v1")), "of another kind"),
    "payload of another kind": (signed_payload(lambda said: None, "application/json"), "no in-toto statement"),
    "signature cut off": (rewritten(lambda bundle: bundle["dsseEnvelope"].update(signatures=[])), "exactly one signature"),
    "two signatures": (
        rewritten(lambda bundle: bundle["dsseEnvelope"]["signatures"].append(bundle["dsseEnvelope"]["signatures"][0])),
        "exactly one signature",
    ),
    "changed after it was signed": (
        rewritten(lambda bundle: bundle["dsseEnvelope"].update(payloadType="application/vnd.in-toto+jsom")),
        "a key that is not trusted here",
    ),
    "certificate for an identity": ((GOLDEN / "cosign" / "certificate.json").read_bytes(), "with a certificate"),
    "keys twice": (signed(statement()).replace(b"{", b'{"mediaType":"x",', 1), "occurs twice"),
    "depth of 100,000": (b'{"a":' * 100_000, "nested deeper"),
    "no JSON": (b"\0" * 999, "not valid JSON"),
}


@dataclass(frozen=True)
class Beside:
    """What came of a mount of the artifact with all of it, and under which digest each hangs there."""

    outcome: Outcome
    digests: dict[str, Digest]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    registry, shell = MemoryRegistry(), Shell(tmp_path_factory.mktemp("beside") / "home")
    with serve(registry) as server:
        stand = Stand(registry, server, shell)
        reference = trusting(stand)
        registry.repositories[REPOSITORY].blobs[Digest.of(DOCUMENT)] = MemoryBody(DOCUMENT)
        digests = {f"document, {name}": hang(registry, index_referrer(SUBJECT, data)) for name, (data, _) in DOCUMENTS.items()}
        digests |= {f"bundle, {name}": hang(registry, bundle_referrer(SUBJECT, data, NOW)) for name, (data, _) in BUNDLES.items()}
        return Beside(attempt(shell, reference, FILES, *signed_options(shell), *REGISTRY), digests)


REGISTRY = ("--trust-index", "registry")


def trusting(stand: Stand) -> str:
    """The artifact, in a registry that lists what hangs on it; the key is at hand."""
    stand.registry.referrers = ReferrersApi()
    (stand.shell.home / "key.pub").write_bytes(KEY.public_pem)
    return stand.push(MADE)


def signed_options(shell: Shell) -> tuple[str, str]:
    return "--trust-key", str(shell.home / "key.pub")


def test_beside_all_that_is_not_believed_every_byte_is_right(beside: Beside) -> None:
    assert (beside.outcome.exit_code, beside.outcome.errors) == (0, {})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_is_not_believed(beside: Beside, name: str) -> None:
    reason_is(beside, f"document, {name}", DOCUMENTS[name][1])


@pytest.mark.parametrize("name", BUNDLES)
def test_bundle_is_not_believed(beside: Beside, name: str) -> None:
    reason_is(beside, f"bundle, {name}", BUNDLES[name][1])


def reason_is(beside: Beside, name: str, words: str) -> None:
    told = [line for line in beside.outcome.log.splitlines() if f"not believed: {beside.digests[name]}: " in line]
    assert len(told) == 1, beside.outcome.log
    assert re.search(words, told[0])


# --- signed, and a lie


def lying(change: Callable[[bytearray], None]) -> ArtifactIndex:
    """The right index with other digests of the weights."""
    digests = bytearray(OF_WEIGHTS.digests)
    change(digests)
    return ArtifactIndex(MADE.digest, [ChunkIndex(OF_WEIGHTS.layer, OF_WEIGHTS.grid, bytes(digests), None), OF_ARCHIVE])


def flipped(chunk: int) -> Callable[[bytearray], None]:
    def flip(digests: bytearray) -> None:
        digests[chunk * DIGEST_BYTES] ^= 1

    return flip


def swap(digests: bytearray) -> None:
    digests[:DIGEST_BYTES], digests[DIGEST_BYTES : 2 * DIGEST_BYTES] = (
        digests[DIGEST_BYTES : 2 * DIGEST_BYTES],
        digests[:DIGEST_BYTES],
    )


LIES = {
    "digest of the first chunk": lying(flipped(0)),
    "digest of the last chunk": lying(flipped(4)),
    "digests of two chunks swapped": lying(swap),
}


def push_signed(stand: Stand, *indexes: ArtifactIndex) -> None:
    for index in indexes:
        hang(stand.registry, index_referrer(SUBJECT, index.encode()))
        hang(stand.registry, bundle_referrer(SUBJECT, signed(statement(index)), NOW))


@pytest.mark.parametrize("index", LIES.values(), ids=LIES)
def test_a_signed_lie_about_bytes_is_an_error_of_these_bytes_alone(stand: Stand, index: ArtifactIndex) -> None:
    reference = trusting(stand)
    push_signed(stand, index)
    seen = stand.is_shown(reference, FILES, *signed_options(stand.shell), errors={"w": "EIO"})
    assert "do not match their digest" in seen.log


def test_a_signed_lie_about_names_is_found_by_verify(stand: Stand) -> None:
    """Who holds a trusted key may call files as they like, until all of the layer was read once (docs/CHUNK_INDEX.md)."""
    large, one, two = OF_ARCHIVE.table or ()
    table = (large, replace(one, path=b"two"), replace(two, path=b"one"))
    reference = trusting(stand)
    push_signed(stand, ArtifactIndex(MADE.digest, [ChunkIndex(OF_ARCHIVE.layer, OF_ARCHIVE.grid, OF_ARCHIVE.digests, table)]))
    ran = run(stand.shell, "verify", reference, *signed_options(stand.shell))
    assert (ran.exit_code, str(OF_ARCHIVE.layer) in ran.stderr) == (INTEGRITY, True), ran


def test_two_signed_ones_that_disagree_are_an_error(stand: Stand) -> None:
    reference = trusting(stand)
    push_signed(stand, RIGHT, LIES["digest of the last chunk"])
    stand.is_refused(reference, "disagree about bytes", *signed_options(stand.shell), exit_code=INTEGRITY)


def test_a_signed_one_of_another_compression_is_an_error(stand: Stand) -> None:
    index = ChunkIndex(OF_WEIGHTS.layer, OF_WEIGHTS.grid, OF_WEIGHTS.digests, None, compression="gzip", stored_bytes=len(WEIGHTS))
    reference = trusting(stand)
    push_signed(stand, ArtifactIndex(MADE.digest, [index]))
    stand.is_refused(reference, "another compression", *signed_options(stand.shell), exit_code=INTEGRITY)


# --- taken away, swapped, hidden


def test_document_that_was_swapped_is_fetched_and_not_believed(stand: Stand) -> None:
    reference = trusting(stand)
    push_signed(stand, RIGHT)
    right = run(stand.shell, "inspect", reference, "--format", "json", *signed_options(stand.shell))
    assert {each["proof"] for each in json.loads(right.stdout)["layers"][1:]} == {f"signed by {KEY.public.id}"}
    blobs = stand.registry.repositories[REPOSITORY].blobs
    blobs[Digest.of(DOCUMENT)] = MemoryBody(LIES["digest of the first chunk"].encode())
    stand.shell.run("cache", "clear")
    seen = stand.is_shown(reference, FILES, *signed_options(stand.shell))
    assert "the signed chunk index was not there" in seen.log


def test_layer_that_was_cut_is_an_error_of_its_file_alone_under_a_right_one(stand: Stand) -> None:
    reference = trusting(stand)
    push_signed(stand, RIGHT)
    stand.registry.repositories[REPOSITORY].blobs[Digest.of(WEIGHTS)] = MemoryBody(WEIGHTS[:-1])
    stand.is_shown(reference, FILES, *signed_options(stand.shell), errors={"w": "EIO"})


def test_flood_of_bad_ones_takes_nothing_away(stand: Stand) -> None:
    reference = trusting(stand)
    for number in range(100):
        hang(stand.registry, bundle_referrer(SUBJECT, b"%d" % number, NOW))
    seen = stand.is_shown(reference, FILES, *signed_options(stand.shell))
    assert seen.log.count("only 32 of a kind are read") == 100 - 32


UNLISTED = {
    "a page": Html200(),
    "500": Status(500),
    "a list of 5 MiB": Status(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, b" " * (5 * MIB)),
    "a manifest": Status(200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, MADE.manifest),
}


@pytest.mark.parametrize("action", UNLISTED.values(), ids=UNLISTED)
def test_list_that_is_none_takes_nothing_away(stand: Stand, action: Html200 | Status) -> None:
    """And gives nothing: where an index is required, it is missing."""
    reference = trusting(stand)
    push_signed(stand, RIGHT)
    stand.registry.faults.install(Fault(Match(path="/referrers/"), action))
    stand.is_shown(reference, FILES, *signed_options(stand.shell))
    require(stand, 'index = "required"')
    stand.is_refused(reference, "no chunk index signed by a key that is trusted", exit_code=INTEGRITY)


def test_nobodys_word_is_believed_unasked(stand: Stand) -> None:
    reference = trusting(stand)
    hang(stand.registry, index_referrer(SUBJECT, LIES["digest of the first chunk"].encode()))
    stand.is_shown(reference, FILES)
    stand.is_shown(
        f"{stand.server.host}/{REPOSITORY}@{MADE.digest}", FILES, *REGISTRY, "--cache-dir", str(stand.shell.home / "new")
    )


def require(stand: Stand, what: str) -> None:
    stand.shell.config.write_text(f'[trust]\nkeys = ["{stand.shell.home}/key.pub"]\n{what}\n')


REQUIRED: dict[str, tuple[bytes | None, str]] = {
    "none": (None, "nothing of the kind was found"),
    "only one of a stranger": (BUNDLES["key of a stranger"][0], "a key that is not trusted here"),
    "only an expired one": (BUNDLES["expired"][0], "has expired"),
    "only one of another artifact": (BUNDLES["replayed from another artifact"][0], "about another artifact"),
}


@pytest.mark.parametrize(("bundle", "words"), REQUIRED.values(), ids=REQUIRED)
def test_where_one_is_required_nothing_is_shown_without(stand: Stand, bundle: bytes | None, words: str) -> None:
    reference = trusting(stand)
    require(stand, 'index = "required"')
    hang(stand.registry, index_referrer(SUBJECT, DOCUMENT))
    if bundle is not None:
        hang(stand.registry, bundle_referrer(SUBJECT, bundle, NOW))
    stand.is_refused(reference, words, exit_code=INTEGRITY)


def test_where_a_signature_is_required_an_index_is_none(stand: Stand) -> None:
    """A statement about chunks says nothing of the artifact."""
    reference = trusting(stand)
    require(stand, "verify-signature = true")
    push_signed(stand, RIGHT)
    stand.is_refused(reference, "the artifact is not signed", exit_code=INTEGRITY)
