"""Statements: cosign's are read, ours say what they are about, and a document that is not the signed one is not opened."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mkfs.errors import IntegrityError, Mismatch
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import CHUNK_INDEX_DOCUMENT, IN_TOTO
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES, ArtifactIndex
from mkfs.proof.bundle import decode_bundle
from mkfs.proof.cosign import COSIGN_SIGN_PREDICATE
from mkfs.proof.dsse import Envelope
from mkfs.proof.statement import CHUNK_INDEX_PREDICATE, IndexStatement, Statement, decode_statement, rfc3339
from tests.support.cosign import KINDS
from tests.support.golden import GOLDEN
from tests.support.indexed import NOW, IndexedArtifact, sample

COSIGN = GOLDEN / "cosign"
SUBJECT = Digest.of((COSIGN / "manifest.json").read_bytes())


@pytest.fixture(scope="module")
def artifact() -> IndexedArtifact:
    return sample()


def envelope(payload: bytes, payload_type: str = IN_TOTO) -> Envelope:
    return Envelope(payload_type, payload, b"")


def about(artifact: IndexedArtifact, expires: datetime | None = None) -> IndexStatement:
    return IndexStatement.about(artifact.index, artifact.index.encode(), expires)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cosign_states_is_read(kind: str) -> None:
    signed = decode_bundle((COSIGN / f"{kind}.sign.json").read_bytes()).content
    attested = decode_bundle((COSIGN / f"{kind}.attest.json").read_bytes()).content
    assert isinstance(signed, Envelope)
    assert isinstance(attested, Envelope)
    assert decode_statement(signed) == Statement(frozenset({SUBJECT}), COSIGN_SIGN_PREDICATE, {})
    document = (COSIGN / "document.msgpack").read_bytes()
    statement = IndexStatement.read(decode_statement(attested), SUBJECT)
    assert statement == IndexStatement.about(ArtifactIndex.decode(document), document)
    assert statement.open(document).encode() == document


@pytest.mark.parametrize("expires", [None, NOW])
def test_a_statement_reads_back_as_it_was_written(artifact: IndexedArtifact, expires: datetime | None) -> None:
    statement = about(artifact, expires)
    assert IndexStatement.read(decode_statement(envelope(statement.payload())), artifact.subject) == statement
    assert json.loads(statement.payload())["predicate"] == json.loads(statement.predicate())


def test_a_time_is_written_in_utc_and_whole_seconds(artifact: IndexedArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = datetime(2027, 1, 31, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(elsewhere) == "2027-01-31T00:00:00Z"
    assert rfc3339(datetime(272, 1, 31, tzinfo=UTC)) == "0272-01-31T00:00:00Z"
    assert about(artifact, elsewhere).expires == datetime(2027, 1, 31, tzinfo=UTC)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert rfc3339(elsewhere) == "2027-01-31T00:00:00Z"  # wherever the machine is
    finally:
        monkeypatch.undo()
        time.tzset()
    with pytest.raises(ValueError, match="zone"):
        about(artifact, datetime(2027, 1, 31))  # noqa: DTZ001 - that is the point


def changed(artifact: IndexedArtifact, change: Callable[[dict[str, Any]], object]) -> Envelope:
    fields = json.loads(about(artifact).payload())
    change(fields)
    return envelope(json.dumps(fields).encode())


BAD_STATEMENTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another layout": (lambda fields: fields.update(_type="https://in-toto.io/Statement/v2"), "in-toto"),
    "no layout": (lambda fields: fields.pop("_type"), "in-toto"),
    "a list for a layout": (lambda fields: fields.update(_type=[]), "in-toto"),
    "no subject": (lambda fields: fields.update(subject=[]), "no subject"),
    "a subject that is no list": (lambda fields: fields.update(subject={"digest": {}}), "no subject"),
    "too many subjects": (lambda fields: fields.update(subject=1025 * fields["subject"]), "too many"),
    "a subject of text": (lambda fields: fields.update(subject=["any"]), "no digest"),
    "a subject without a digest": (lambda fields: fields.update(subject=[{"name": "any"}]), "no digest"),
    "no type of predicate": (lambda fields: fields.pop("predicateType"), "no predicate"),
    "a predicate of text": (lambda fields: fields.update(predicate="any"), "no predicate"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_STATEMENTS.values(), ids=BAD_STATEMENTS)
def test_what_is_no_statement_is_refused(
    artifact: IndexedArtifact, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    with pytest.raises(IntegrityError, match=reason):
        decode_statement(changed(artifact, change))


def test_a_payload_of_another_type_is_not_read_as_a_statement(artifact: IndexedArtifact) -> None:
    payload = about(artifact).payload()
    with pytest.raises(IntegrityError, match="in-toto"):
        decode_statement(envelope(payload, "application/json"))
    for data in (b"", b"[]", payload[:-1], payload + b"x", payload[:-1] + b',"predicate":{}}'):
        with pytest.raises(IntegrityError):
            decode_statement(envelope(data))


def test_digests_that_nobody_can_check_match_nothing(artifact: IndexedArtifact) -> None:
    strange = {"md5": "0" * 32, "sha256": artifact.subject.hex.upper(), "sha512": 7}
    statement = decode_statement(changed(artifact, lambda fields: fields.update(subject=[{"digest": strange}])))
    assert statement.subjects == frozenset()
    with pytest.raises(IntegrityError, match=r"another artifact .got no digest we can check, expected sha256:"):
        IndexStatement.read(statement, artifact.subject)


def test_a_digest_that_can_be_checked_counts_beside_one_that_cannot(artifact: IndexedArtifact) -> None:
    digests = {"md5": "0" * 32, "sha256": artifact.subject.hex}
    statement = decode_statement(changed(artifact, lambda fields: fields.update(subject=[{"digest": digests}])))
    assert statement.subjects == {artifact.subject}


def test_as_many_subjects_as_sigstore_takes_are_read_and_no_more(artifact: IndexedArtifact) -> None:
    def of(count: int) -> Envelope:
        subjects = [{"digest": {"sha256": f"{number:064x}"}} for number in range(count)]
        return changed(artifact, lambda fields: fields.update(subject=subjects))

    assert len(decode_statement(of(1024)).subjects) == 1024
    with pytest.raises(IntegrityError, match="too many"):
        decode_statement(of(1025))


def test_a_layer_of_nothing_may_be_named(artifact: IndexedArtifact) -> None:
    empty = changed(artifact, lambda fields: fields["predicate"]["layers"][0].update(size=0))
    assert IndexStatement.read(decode_statement(empty), artifact.subject).layers[0].size_bytes == 0


def test_a_statement_of_another_type_is_named(artifact: IndexedArtifact) -> None:
    with pytest.raises(IntegrityError, match=r"got 'https://in-toto\.io/Statement/v2'"):
        decode_statement(changed(artifact, lambda fields: fields.update(_type="https://in-toto.io/Statement/v2")))


def test_what_json_refuses_is_told_with_its_reason() -> None:
    with pytest.raises(IntegrityError, match="subject"):
        decode_statement(envelope(b'{"subject":1,"subject":2}'))


BAD_PREDICATES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "nothing in it": (lambda predicate: predicate.clear(), "formatVersion"),
    "another version": (lambda predicate: predicate.update(formatVersion=2), "formatVersion"),
    "a version that is text": (lambda predicate: predicate.update(formatVersion="1"), "formatVersion"),
    "a field nobody knows": (lambda predicate: predicate.update(onlyOnSundays=True), "onlyOnSundays"),
    "no index": (lambda predicate: predicate.pop("index"), "index"),
    "an index of another kind": (lambda predicate: predicate["index"].update(mediaType="text/plain"), "another kind"),
    "an index without digest": (lambda predicate: predicate["index"].pop("digest"), "digest"),
    "an index with a bad digest": (lambda predicate: predicate["index"].update(digest="sha256:x"), "not a sha256"),
    "an index that is too large": (lambda predicate: predicate["index"].update(size=DOCUMENT_LIMIT_BYTES + 1), "too large"),
    "a size below nothing": (lambda predicate: predicate["index"].update(size=-1), "out of bounds"),
    "a size beyond all": (lambda predicate: predicate["layers"][0].update(size=2**63), "out of bounds"),
    "a size with a fraction": (lambda predicate: predicate["layers"][0].update(size=1.5), "size"),
    "a size that is true": (lambda predicate: predicate["layers"][0].update(size=True), "size"),
    "no layers": (lambda predicate: predicate.pop("layers"), "layers"),
    "a layer with urls": (lambda predicate: predicate["layers"][0].update(urls=["http://localhost"]), "urls"),
    "a date": (lambda predicate: predicate.update(expires="2027-01-31"), "time in UTC"),
    "a time elsewhere": (lambda predicate: predicate.update(expires="2027-01-31T00:00:00+01:00"), "time in UTC"),
    "a time of no day": (lambda predicate: predicate.update(expires="2027-02-31T00:00:00Z"), "day"),
    "other digits": (lambda predicate: predicate.update(expires="٢٠٢٧-01-31T00:00:00Z"), "time in UTC"),
    "seconds": (lambda predicate: predicate.update(expires=1800000000), "expires"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_PREDICATES.values(), ids=BAD_PREDICATES)
def test_a_predicate_that_breaks_the_rules_is_refused(
    artifact: IndexedArtifact, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    with pytest.raises(IntegrityError, match=reason):
        IndexStatement.read(decode_statement(changed(artifact, lambda fields: change(fields["predicate"]))), artifact.subject)


def test_the_largest_document_may_be_named(artifact: IndexedArtifact) -> None:
    largest = changed(artifact, lambda fields: fields["predicate"]["index"].update(size=DOCUMENT_LIMIT_BYTES))
    assert IndexStatement.read(decode_statement(largest), artifact.subject).index.size_bytes == DOCUMENT_LIMIT_BYTES


def test_a_statement_about_another_artifact_or_of_another_kind_is_refused(artifact: IndexedArtifact) -> None:
    statement = decode_statement(envelope(about(artifact).payload()))
    assert statement.predicate_type == CHUNK_INDEX_PREDICATE
    other = sample("other").subject
    with pytest.raises(IntegrityError, match=f"another artifact .got {artifact.subject}, expected {other}"):
        IndexStatement.read(statement, other)
    with pytest.raises(IntegrityError, match="another kind"):
        IndexStatement.read(replace(statement, predicate_type=COSIGN_SIGN_PREDICATE), artifact.subject)


def test_another_document_than_the_signed_one_is_not_opened(artifact: IndexedArtifact) -> None:
    document = artifact.index.encode()
    statement = about(artifact)
    assert statement.open(document).encode() == document
    for wrong in (document[:-1], document + b"\0", document[:-1] + b"\0", b"", sample("other").index.encode()):
        with pytest.raises(Mismatch):
            statement.open(wrong)


def test_a_signed_document_that_contradicts_its_statement_is_refused(artifact: IndexedArtifact) -> None:
    fewer = ArtifactIndex(artifact.subject, artifact.index.layers[1:])
    other = sample("other").index
    for index, reason in ((fewer, "other layers"), (other, "another artifact")):
        document = index.encode()
        described = replace(IndexStatement.about(index, document), subject=artifact.subject, layers=about(artifact).layers)
        assert described.index.media_type == CHUNK_INDEX_DOCUMENT
        with pytest.raises(IntegrityError, match=reason):
            described.open(document)
