"""Lists of referrers: where they are kept, and how one entry more gets into one."""

import json
from typing import Final

import pytest

from mkfs.errors import BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES
from mkfs.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mkfs.oci.referrers import decode_referrers, fallback_tag, signature_tag, with_referrer

SHA256: Final = Digest.of(b"")
REFERRER: Final = Descriptor(OCI_MANIFEST, SHA256, 7, {"made": "now"}, "application/x")
OTHER: Final = {
    "mediaType": OCI_MANIFEST,
    "digest": str(Digest.of(b"other")),
    "size": 5,
    "platform": {"os": "linux"},
    "urls": ["https://elsewhere.test/"],
}


def test_a_list_has_the_tag_that_the_specification_says() -> None:
    assert fallback_tag(SHA256) == f"sha256-{SHA256.hex}"
    assert fallback_tag(Digest("sha512", "a" * 128)) == f"sha512-{'a' * 64}"
    assert fallback_tag(Digest("test+algorithm+using+algorithm+separators+and+lots+of+characters", "x=y")) == (
        "test-algorithm-using-algorithm-s-x-y"
    )
    assert signature_tag(SHA256) == f"sha256-{SHA256.hex}.sig"


def test_a_first_entry_makes_the_list() -> None:
    data = with_referrer(None, REFERRER)
    assert data is not None
    assert json.loads(data) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": str(SHA256),
                "size": 7,
                "artifactType": "application/x",
                "annotations": {"made": "now"},
            }
        ],
    }
    assert decode_referrers(data, OCI_INDEX) == (REFERRER,)


def test_what_others_wrote_stays_as_it_is() -> None:
    before = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [OTHER], "annotations": {"a": "ü"}, "foreign": [1, 2.5]}
    data = with_referrer(json.dumps(before).encode(), REFERRER)
    assert data is not None
    after = json.loads(data)
    assert after["manifests"].pop()["digest"] == str(SHA256)
    assert after == before


def test_an_entry_is_not_added_twice() -> None:
    data = with_referrer(None, REFERRER)
    assert with_referrer(data, REFERRER) is None


@pytest.mark.parametrize(
    "listed",
    [
        b"<html>",
        b'{"schemaVersion":2}',
        b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"%s","size":1},"layers":[]}' % str(SHA256).encode(),
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:1"}]}',
    ],
)
def test_something_that_is_no_list_is_not_written_over(listed: bytes) -> None:
    with pytest.raises(BadDocument):
        with_referrer(listed, REFERRER)


def test_a_full_list_takes_no_more() -> None:
    full = {"schemaVersion": 2, "manifests": [], "annotations": {"a": "x" * (MANIFEST_LIMIT_BYTES - 200)}}
    with pytest.raises(BadDocument, match="full"):
        with_referrer(json.dumps(full).encode(), REFERRER)
