"""What is signed about a chunk index: an in-toto statement whose subject is the artifact's manifest (in-toto/attestation, spec/v1).

The statement is small and names the document of the index by its digest, so whoever reads it can verify first and fetch then. It
also names the layers, so that a statement can be read, and refused, without the document.

    {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": …}}], "predicateType": "urn:mkfs:chunk-index:v1",
     "predicate": {"formatVersion": 1, "index": {"mediaType": …, "digest": "sha256:…", "size": …},
                   "layers": [{"digest": "sha256:…", "size": …}, …], "expires": "2027-01-31T00:00:00Z"}}

`cosign attest` writes such a statement too, given the predicate (with version 0.1 of the statement's layout, which is the same).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Self, final

import msgspec

from mkfs.errors import BadDigest, BadDocument, IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import SIZE_LIMIT_BYTES
from mkfs.oci.media_types import CHUNK_INDEX_DOCUMENT, IN_TOTO
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES, ArtifactIndex
from mkfs.proof.bundle import BUNDLE_LIMIT_BYTES
from mkfs.proof.dsse import Envelope, sign
from mkfs.proof.keys import SigningKey
from mkfs.proof.proven import prove

CHUNK_INDEX_PREDICATE: Final = "urn:mkfs:chunk-index:v1"
VERSION: Final = 1

_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_STATEMENTS: Final = (_STATEMENT, "https://in-toto.io/Statement/v0.1")  # compared, not hashed: JSON has lists
_SUBJECTS_LIMIT: Final = 1024  # sigstore's own
# RFC 3339, and of all its forms this one: UTC, whole seconds.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@final
@dataclass(frozen=True, slots=True)
class Statement:
    """An in-toto statement: `predicate_type` says what `predicate` claims about the things with these digests."""

    subjects: frozenset[Digest]
    predicate_type: str
    predicate: Mapping[str, object]


@final
@dataclass(frozen=True, slots=True)
class LayerClaim:
    """A layer that an index covers: digest and size of its blob."""

    digest: Digest
    size_bytes: int


@final
@dataclass(frozen=True, slots=True)
class IndexStatement:
    """That the document `index` holds the right chunk indexes of these layers of the artifact with manifest `subject`."""

    subject: Digest
    index: Descriptor
    layers: tuple[LayerClaim, ...]
    expires: datetime | None = None  # in UTC, whole seconds; not believed from then on

    @classmethod
    def about(cls, index: ArtifactIndex, document: bytes, expires: datetime | None = None) -> Self:
        """The statement for `index`, whose encoding is `document`. Of `expires`, which has a zone, fractions of a second are
        dropped.
        """
        expires = None if expires is None else _time(rfc3339(expires))
        described = Descriptor(CHUNK_INDEX_DOCUMENT, Digest.of(document), len(document))
        return cls(index.subject, described, _claims(index), expires)

    @classmethod
    def read(cls, statement: Statement, subject: Digest) -> Self:
        """The index statement that `statement` is, about `subject`. Raises `IntegrityError`: of another kind, about something else,
        or with a predicate that breaks the rules; unknown fields in the predicate are refused, as they may restrict it.
        """
        if statement.predicate_type != CHUNK_INDEX_PREDICATE:
            raise IntegrityError(f"statement is of another kind (got {statement.predicate_type[:80]!a})")
        if subject not in statement.subjects:
            raise IntegrityError(f"statement is about another artifact (got {_shown(statement.subjects)}, expected {subject})")
        try:
            predicate = msgspec.convert(statement.predicate, _Predicate)
            index, claims = predicate.index.blob(), tuple(layer.blob() for layer in predicate.layers)
            expires = None if predicate.expires is None else _time(predicate.expires)
        except (msgspec.ValidationError, BadDigest, ValueError) as error:
            raise IntegrityError(f"statement about a chunk index breaks the rules: {error}") from error
        if predicate.index.media_type != CHUNK_INDEX_DOCUMENT:
            raise IntegrityError(f"statement names a document of another kind (got {predicate.index.media_type[:80]!a})")
        if index.size_bytes > DOCUMENT_LIMIT_BYTES:
            raise IntegrityError(f"statement names a chunk index that is too large ({index.size_bytes} bytes)")
        return cls(subject, Descriptor(CHUNK_INDEX_DOCUMENT, index.digest, index.size_bytes), claims, expires)

    def predicate(self) -> bytes:
        """The predicate alone, as JSON: what `cosign attest --predicate` takes."""
        return _json(self._predicate())

    def payload(self) -> bytes:
        """The whole statement, as JSON: what is signed."""
        subject = {"digest": {self.subject.algorithm: self.subject.hex}}
        return _json(
            {"_type": _STATEMENT, "subject": [subject], "predicateType": CHUNK_INDEX_PREDICATE, "predicate": self._predicate()}
        )

    def sign(self, key: SigningKey) -> Envelope:
        """The statement in an envelope that `key` signed."""
        return sign(IN_TOTO, self.payload(), key)

    def open(self, document: bytes) -> ArtifactIndex:
        """The index that this statement is about, from the bytes that were fetched for it.

        Raises `Mismatch` where they are not those it names, `IntegrityError` where their content contradicts it.
        """
        index = ArtifactIndex.decode(prove(self.index, document).data)
        if index.subject != self.subject:
            raise IntegrityError(f"chunk index is of another artifact (got {index.subject}, expected {self.subject})")
        if _claims(index) != self.layers:
            raise IntegrityError("chunk index has other layers than its statement says")
        return index

    def _predicate(self) -> dict[str, object]:
        index = {"mediaType": self.index.media_type, "digest": str(self.index.digest), "size": self.index.size_bytes}
        layers = [{"digest": str(layer.digest), "size": layer.size_bytes} for layer in self.layers]
        expires = {} if self.expires is None else {"expires": rfc3339(self.expires)}
        return {"formatVersion": VERSION, "index": index, "layers": layers, **expires}


def decode_statement(envelope: Envelope) -> Statement:
    """The in-toto statement in a verified envelope. Subjects with digests that nobody here can check are left out.

    Raises `IntegrityError`.
    """
    if envelope.payload_type != IN_TOTO:
        raise IntegrityError(f"signed payload is no in-toto statement (got {envelope.payload_type[:80]!a})")
    try:
        fields = decode_json(envelope.payload, BUNDLE_LIMIT_BYTES, "statement")
    except BadDocument as error:
        raise IntegrityError(error.what) from error
    subjects, kind, predicate = fields.get("subject"), fields.get("predicateType"), fields.get("predicate", {})
    if fields.get("_type") not in _STATEMENTS:
        raise IntegrityError(f"signed payload is no in-toto statement we read (got {str(fields.get('_type'))[:80]!a})")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= _SUBJECTS_LIMIT:
        raise IntegrityError("statement has no subject, or too many")
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise IntegrityError("statement has no predicate")
    return Statement(frozenset(digest for subject in subjects for digest in _digests(subject)), kind, predicate)


def rfc3339(time: datetime) -> str:
    """`time`, which has a zone, in UTC and whole seconds: `2027-01-31T00:00:00Z`. Raises `ValueError` where it has none."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone means something else to each reader")
    # not strftime, whose %Y has fewer than four digits for the first thousand years
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _digests(subject: object) -> list[Digest]:
    found = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(found, dict):
        raise IntegrityError("subject of a statement has no digest")
    digests = []
    for algorithm, value in found.items():
        try:
            digests.append(Digest.parse(f"{algorithm}:{value}"))
        except BadDigest:
            continue
    return digests


def _claims(index: ArtifactIndex) -> tuple[LayerClaim, ...]:
    return tuple(LayerClaim(layer.layer, layer.stored_bytes) for layer in index.layers)


class _Blob(msgspec.Struct, forbid_unknown_fields=True):
    digest: str
    size: int

    def blob(self) -> LayerClaim:
        if not 0 <= self.size < SIZE_LIMIT_BYTES:
            raise ValueError(f"size is out of bounds (got {self.size})")
        return LayerClaim(Digest.parse(self.digest), self.size)


class _Document(_Blob, rename="camel", forbid_unknown_fields=True):
    media_type: str


class _Predicate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    format_version: Literal[1]
    index: _Document
    layers: list[_Blob]
    expires: str | None = None


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError(f"not a time in UTC: {text[:40]!a} (expected YYYY-MM-DDTHH:MM:SSZ)")
    return datetime.fromisoformat(text)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _shown(subjects: frozenset[Digest]) -> str:
    return ", ".join(sorted(map(str, subjects))[:3]) or "no digest we can check"
