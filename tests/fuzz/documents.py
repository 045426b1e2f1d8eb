"""Targets: what a registry keeps beside layers. Second readers: the json of the library, PyYAML, and our own writers."""

import json
from datetime import UTC, datetime
from typing import Final

import pytest
import yaml

from mkfs import formats
from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.header import BLOCK_BYTES
from mkfs.errors import BadDocument, IntegrityError, Unsupported, UsageError
from mkfs.formats.kitfile import read_kitfile
from mkfs.formats.plan import Documents, Need, Plan, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import Index, Manifest, decode_manifest
from mkfs.oci.media_types import IN_TOTO, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import artifact_type_of, decode_referrers, encode_referrers, with_referrer
from mkfs.oci.registry_error import describe_error
from mkfs.proof.artifact_index import ArtifactIndex, agree
from mkfs.proof.bundle import decode_bundle, encode_bundle
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.cosign import read_signatures, signer_of_payload
from mkfs.proof.dsse import Envelope
from mkfs.proof.evidence import Examiner
from mkfs.proof.keys import PublicKey, read_public_keys
from mkfs.proof.referrers import read_bundle_referrer, read_index_referrer
from mkfs.proof.statement import IndexStatement, decode_statement
from mkfs.tree.build import build
from mkfs.tree.paths import components
from mkfs.units import MIB
from tests.fuzz.oracles import answer

# The subject of what tests/golden/cosign has.
SUBJECT: Final = Digest.parse("sha256:b551ed39311aae098cda6ee070ee42a6da619206a2376509cc4450de81506b96")
REFERRER: Final = Descriptor(OCI_MANIFEST, Digest.of(b"referrer"), 8)
ANYBODY: Final = PublicKey("00" * 32, (lambda _message, _signature: None,))  # takes every signature for its own
NOW: Final = datetime(2026, 11, 25, tzinfo=UTC)
_RAW_BYTES: Final = 10  # of a compressed file whose size nobody says
_STRICTER: Final = "twice|nested|no JSON number|out of range|digits|surrogate|not a JSON object"
_HEADS: Final = (b"mkfs own chunk index 1\n", b"mkfs own chunk index 2\n")


def check_json(data: bytes) -> None:
    """What the library reads, and nothing that it refuses; what is refused beyond that, for a reason of ours."""
    line = describe_error(data)
    assert line.isprintable()
    assert len(line) <= 200
    ours = answer(BadDocument, decode_json, data, MIB, "document")
    try:
        theirs = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        assert ours is None
        return
    if ours is None:
        with pytest.raises(BadDocument, match=_STRICTER):
            decode_json(data, MIB, "document")
    else:
        assert ours == theirs
        assert decode_json(json.dumps(ours).encode(), 16 * MIB, "document") == ours


def check_manifest(data: bytes) -> None:
    """The digests that are in the JSON, in their order; the same under the type it gives itself; a list can be added to."""
    document = answer(BadDocument, decode_manifest, data)
    if document is None:
        return
    fields = json.loads(data)
    assert decode_manifest(data, document.media_type) == document
    artifact_type_of(document)
    if isinstance(document, Manifest):
        assert [str(layer.digest) for layer in document.layers] == [layer["digest"] for layer in fields["layers"] or ()]
        return
    assert isinstance(document, Index)
    listed = decode_referrers(data)
    assert [str(each.digest) for each in listed] == [each["digest"] for each in fields["manifests"] or ()]
    assert [each.digest for each in decode_referrers(encode_referrers(listed))] == [each.digest for each in listed]
    longer = with_referrer(data, REFERRER)
    if longer is None:
        assert REFERRER.digest in [each.digest for each in listed]
    else:
        assert [each.digest for each in decode_referrers(longer)] == [*(each.digest for each in listed), REFERRER.digest]


def check_artifact(data: bytes) -> None:
    """A manifest, NUL, and what every small blob of it holds: a plan, its answers and its tree, or a refusal."""
    manifest_bytes, _, blob = data.partition(b"\0")
    manifest = answer(BadDocument, decode_manifest, manifest_bytes)
    if not isinstance(manifest, Manifest):
        return
    plan = answer(Unsupported, _plan, manifest, blob)
    if plan is None:
        return
    answer(BadDocument, formats.answers, plan, manifest, "tag")
    for line in (*plan.warnings, *plan.doubts):
        assert line.isprintable(), f"cannot be printed: {line!a}"
    raw = [layer.reading if isinstance(layer.reading, RawLayer) else None for layer in plan.layers]
    tables = [_table(layer.reading, number) for number, layer in enumerate(plan.layers)]
    sizes = {
        number: _RAW_BYTES if reading.size_bytes is None else reading.size_bytes
        for number, reading in enumerate(raw)
        if reading is not None and reading.compression
    }
    tree = answer(Unsupported, build, plan, tables, sizes)
    if tree is not None:
        for path, node in tree.walk():
            assert components(path), path
            assert tree.find(path) is node


def _table(reading: TarLayer | RawLayer, number: int) -> Table | None:
    """One file, at a place of its own."""
    if isinstance(reading, RawLayer):
        return None
    path = b"/".join(filter(None, (reading.within, b"file-%d" % number)))
    return (Entry(path, EntryKind.FILE, 0o644, 1, BLOCK_BYTES),)


def _plan(manifest: Manifest, blob: bytes) -> Plan | None:
    """The plan, where each blob that is asked for is `blob`; None where another artifact is asked for."""
    blobs: dict[Digest, bytes] = {}
    for _ in range(len(manifest.layers) + 2):
        found = formats.plan(Documents(manifest, blobs))
        if not isinstance(found, Need):
            return found
        if isinstance(found.wanted, Reference):
            return None
        assert found.wanted.digest not in blobs, "asked twice for one document"
        blobs[found.wanted.digest] = blob
    raise AssertionError("asks for more documents than there are")


def check_kitfile(data: bytes) -> None:
    """Its text is YAML that says what the JSON says."""
    kitfile = answer(BadDocument, read_kitfile, data)
    if kitfile is None:
        return
    kitfile.properties()
    _check_same(yaml.load(kitfile.text(), yaml.CSafeLoader), kitfile.shown)


def _check_same(loaded: object, said: object) -> None:
    if isinstance(said, dict):
        assert isinstance(loaded, dict)
        assert list(loaded) == list(said)
        for key, value in said.items():
            _check_same(loaded[key], value)
    elif isinstance(said, (list, tuple)):
        assert isinstance(loaded, list)
        assert len(loaded) == len(said)
        for one, other in zip(loaded, said, strict=True):
            _check_same(one, other)
    elif isinstance(said, (int, float)) and not isinstance(said, bool):  # Go's numbers: 1e+06 has no point, which PyYAML wants
        assert isinstance(loaded, (str, int, float))
        assert float(loaded) == float(said)
    else:
        assert loaded == said
        assert type(loaded) is type(said)


def check_own_index(data: bytes) -> None:
    """The body of an own chunk index, with its right seal before it; the first byte says which version. Comes back from its own
    encoding.
    """
    index = answer(IntegrityError, ChunkIndex.decode, sealed_index(data))
    if index is None:
        return
    again = ChunkIndex.decode(index.encode())
    assert _parts(again) == _parts(index)
    _check_grid(index)


def sealed_index(data: bytes) -> bytes:
    """An own chunk index: version by the first byte, digest and body."""
    body = data[1:]
    return _HEADS[data[0] % 2 if data else 0] + bytes.fromhex(Digest.of(body).hex) + body


def _parts(index: ChunkIndex) -> tuple[object, ...]:
    return index.layer, index.grid, index.digests, index.table, index.compression, index.stored_bytes, index.diff_id


def _check_grid(index: ChunkIndex) -> None:
    grid = index.grid
    assert sum(segment.range.length for segment in grid.segments) == grid.size_bytes
    for number in {0, grid.count // 2, grid.count - 1} if grid.count else ():
        chunk = grid.chunk_range(number)
        assert grid.chunk_at(chunk.start) == grid.chunk_at(chunk.stop - 1) == number
        assert len(index.digest_of(number)) == 32


def check_artifact_index(data: bytes) -> None:
    """One encoding: what is read is written again byte for byte."""
    index = answer(IntegrityError, ArtifactIndex.decode, data)
    if index is None:
        return
    assert index.encode() == data
    agree(index, index)
    answer(IntegrityError, index.check_subject, SUBJECT, ())
    for layer in index.layers:
        _check_grid(layer)


def check_signatures(data: bytes) -> None:
    """Everything of cosign's, read with a key that takes every signature: reasons come back, nothing else is raised."""
    examiner = Examiner(SUBJECT, b"manifest", (), (ANYBODY,), NOW)
    examiner.bundle("bundle", data)
    examiner.document("document", data)
    examiner.payload("payload", data, "AAAA")
    bundle = answer(IntegrityError, decode_bundle, data)
    if bundle is not None and isinstance(bundle.content, Envelope):
        again = decode_bundle(encode_bundle(bundle.content, bundle.hint))
        assert (again.content, again.hint) == (bundle.content, bundle.hint)
    answer(IntegrityError, signer_of_payload, data, "AAAA", SUBJECT, (ANYBODY,))
    answer(IntegrityError, read_index_referrer, data, SUBJECT)
    answer(IntegrityError, read_bundle_referrer, data, SUBJECT)
    for signing in answer(IntegrityError, read_signatures, data) or ():
        answer(IntegrityError, signer_of_payload, data, signing.signature, SUBJECT, (ANYBODY,))


def check_statement(data: bytes) -> None:
    """A statement about an index comes back from its own writing."""
    statement = answer(IntegrityError, decode_statement, Envelope(IN_TOTO, data, b""))
    if statement is None:
        return
    for subject in (SUBJECT, *sorted(statement.subjects)[:2]):
        about = answer(IntegrityError, IndexStatement.read, statement, subject)
        if about is not None:
            assert IndexStatement.read(decode_statement(Envelope(IN_TOTO, about.payload(), b"")), subject) == about
            answer(IntegrityError, about.open, data)


def check_keys(data: bytes) -> None:
    """A file of keys: keys with ids, that say of a signature by chance that it is none."""
    for key in answer(UsageError, read_public_keys, data, "keys.pem") or ():
        assert len(key.id) == 64
        assert not key.verifies(b"message", b"signature")
        assert len(key.hint) == 44
