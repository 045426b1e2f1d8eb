"""A repository of one manifest and one blob, for tests of the test registry itself: `team/model:7b`."""

from typing import Final

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody, digest_of
from mkfs.units import KIB

MEDIA_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
MANIFEST: Final = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
BODY: Final = SeededBody(seed=5, size_bytes=200 * KIB)
DATA: Final = BODY.read(ByteRange(0, BODY.size_bytes))
BLOB: Final = digest_of(BODY)
MANIFEST_PATH: Final = "/v2/team/model/manifests/7b"
BLOB_PATH: Final = f"/v2/team/model/blobs/{BLOB}"
MANIFEST_DIGEST: Final = Digest.of(MANIFEST)
