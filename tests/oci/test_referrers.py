"""Lists of referrers: where they are kept, and how one entry more gets into one."""

import json
from typing import Final

import pytest

from mkfs.errors import BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES, Index, Manifest
from mkfs.oci.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from mkfs.oci.referrers import (
    artifact_type_of,
    decode_referrers,
    encode_referrers,
    fallback_tag,
    is_vague,
    signature_tag,
    with_referrer,
)

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


def test_a_list_with_just_enough_room_takes_one_more() -> None:
    def listed(length: int) -> bytes:
        return json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"a": "x" * length}}).encode()

    small = with_referrer(listed(0), REFERRER)
    assert small is not None
    room = MANIFEST_LIMIT_BYTES - len(small)
    full = with_referrer(listed(room), REFERRER)
    assert full is not None
    assert len(full) == MANIFEST_LIMIT_BYTES
    with pytest.raises(BadDocument, match="full"):
        with_referrer(listed(room + 1), REFERRER)


def test_letters_take_no_more_room_than_they_did() -> None:
    data = with_referrer(json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"a": "\u00fc"}}).encode(), REFERRER)
    assert data is not None
    assert "\u00fc".encode() in data
    assert b" " not in data


def test_a_list_of_null_is_empty() -> None:
    data = with_referrer(b'{"schemaVersion":2,"manifests":null}', REFERRER)
    assert data is not None
    assert decode_referrers(data) == (REFERRER,)


def test_a_list_is_read_as_the_registry_sent_it() -> None:
    with pytest.raises(BadDocument, match="sent as"):
        decode_referrers(encode_referrers([]), OCI_MANIFEST)


def test_a_list_that_we_write_is_read_again() -> None:
    other = Descriptor(OCI_MANIFEST, Digest.of(b"other"), 5, {"a": "\u00fc"}, "application/x")
    data = encode_referrers([REFERRER, other])
    assert decode_referrers(data, OCI_INDEX) == (REFERRER, other)
    fields = json.loads(data)
    assert (fields["schemaVersion"], fields["mediaType"], len(fields["manifests"])) == (2, OCI_INDEX, 2)
    assert "\u00fc".encode() in data
    assert b" " not in data


def test_a_manifest_is_what_it_says_or_what_its_config_says() -> None:
    config = Descriptor("application/config", SHA256, 0)
    assert artifact_type_of(Manifest(OCI_MANIFEST, "application/x", config, ())) == "application/x"
    assert artifact_type_of(Manifest(OCI_MANIFEST, "", config, ())) == "application/config"
    assert artifact_type_of(Index(OCI_INDEX, "application/x", ())) == "application/x"
    assert artifact_type_of(Index(OCI_INDEX, "", ())) == ""


@pytest.mark.parametrize(("artifact_type", "vague"), [("", True), (OCI_EMPTY, True), ("application/x", False)])
def test_an_entry_without_a_type_of_its_own_is_vague(artifact_type: str, vague: bool) -> None:
    assert is_vague(Descriptor(OCI_MANIFEST, SHA256, 7, {}, artifact_type)) is vague


def test_what_an_entry_does_not_say_is_left_out() -> None:
    [entry] = json.loads(encode_referrers([Descriptor(OCI_MANIFEST, SHA256, 7)]))["manifests"]
    assert entry == {"mediaType": OCI_MANIFEST, "digest": str(SHA256), "size": 7}
