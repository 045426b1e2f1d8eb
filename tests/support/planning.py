"""Plans of whole artifacts, asked for as `content` does: until nothing is needed any more."""

from collections.abc import Mapping

from mkfs import formats
from mkfs.formats.plan import Documents, Plan
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.ranges import ByteRange
from mkfs.testing.artifacts import Artifact
from mkfs.testing.bodies import BlobBody
from tests.support import golden


def whole(body: BlobBody) -> bytes:
    """All bytes of a body."""
    return body.read(ByteRange(0, body.size_bytes))


def plan_of(manifest: bytes, blobs: Mapping[Digest, bytes]) -> Plan:
    """The plan of an artifact that is all here."""
    decoded = decode_manifest(manifest)
    assert isinstance(decoded, Manifest)
    known: dict[Digest, bytes] = {}
    while not isinstance(answer := formats.plan(Documents(decoded, known)), Plan):
        assert answer.descriptor.digest not in known, "asked twice for one document"
        known[answer.descriptor.digest] = blobs[answer.descriptor.digest]
    return answer


def plan_made(made: Artifact) -> Plan:
    """The plan of an artifact that `mkfs.testing` made."""
    return plan_of(made.manifest, {digest: whole(body) for digest, body in made.blobs.items()})


def plan_golden(name: str) -> Plan:
    """The plan of a golden artifact."""
    blobs = {Digest.parse(digest): data for digest, data in golden.blobs(name).items()}
    return plan_of(golden.manifest_bytes(name), blobs)
