"""Plans of whole artifacts, asked for as `content` does: until nothing is needed any more."""

from collections.abc import Mapping
from types import MappingProxyType

from mkfs import formats
from mkfs.formats.choice import EVERYTHING, Choice
from mkfs.formats.plan import Documents, Parent, Plan
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.testing.artifacts import Artifact
from mkfs.testing.bodies import BlobBody
from tests.support import golden


def whole(body: BlobBody) -> bytes:
    """All bytes of a body."""
    return body.read(ByteRange(0, body.size_bytes))


def plan_of(
    manifest: bytes,
    blobs: Mapping[Digest, bytes],
    parents: Mapping[str, Artifact] = MappingProxyType({}),
    choice: Choice = EVERYTHING,
) -> Plan:
    """The plan of an artifact that is all here, and so are those it refers to, by the words it uses."""
    known: dict[Digest, bytes] = {}
    resolved: dict[Reference, Parent] = {}
    blobs = dict(blobs)
    while not isinstance(answer := formats.plan(Documents(decoded(manifest), known, resolved), choice), Plan):
        if isinstance(answer.wanted, Reference):
            assert answer.wanted not in resolved, "asked twice for one artifact"
            parent = parents[str(answer.wanted)]
            resolved[answer.wanted] = Parent(answer.wanted.pinned(parent.digest), decoded(parent.manifest))
            blobs |= {digest: whole(body) for digest, body in parent.blobs.items()}
        else:
            assert answer.wanted.digest not in known, "asked twice for one document"
            known[answer.wanted.digest] = blobs[answer.wanted.digest]
    return answer


def decoded(manifest: bytes) -> Manifest:
    """A manifest that is one."""
    found = decode_manifest(manifest)
    assert isinstance(found, Manifest)
    return found


def plan_made(made: Artifact) -> Plan:
    """The plan of an artifact that `mkfs.testing` made."""
    return plan_of(made.manifest, {digest: whole(body) for digest, body in made.blobs.items()})


def plan_golden(name: str) -> Plan:
    """The plan of a golden artifact."""
    blobs = {Digest.parse(digest): data for digest, data in golden.blobs(name).items()}
    return plan_of(golden.manifest_bytes(name), blobs)
