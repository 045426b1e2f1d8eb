"""The manifests that hang on an artifact: as image-spec and cosign have them, and read only where they belong to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mkfs.errors import IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import CHUNK_INDEX_ARTIFACT, CHUNK_INDEX_DOCUMENT, OCI_EMPTY, SIGSTORE_BUNDLE
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES
from mkfs.proof.referrers import (
    Referrer,
    bundle_referrer,
    index_referrer,
    is_over_index,
    may_help,
    read_bundle_referrer,
    read_index_referrer,
)
from tests.support.indexed import NOW, sample

SUBJECT = sample().descriptor
INDEX = index_referrer(SUBJECT, b"document")


def of_bundle() -> Referrer:
    return bundle_referrer(SUBJECT, b"bundle", NOW)


@pytest.mark.parametrize(
    ("make", "artifact_type", "media_type", "content", "read"),
    [
        (
            lambda: index_referrer(SUBJECT, b"document"),
            CHUNK_INDEX_ARTIFACT,
            CHUNK_INDEX_DOCUMENT,
            b"document",
            read_index_referrer,
        ),
        (of_bundle, SIGSTORE_BUNDLE, SIGSTORE_BUNDLE, b"bundle", read_bundle_referrer),
    ],
    ids=["index", "bundle"],
)
def test_a_referrer_is_one_layer_that_hangs_on_the_artifact(
    make: Callable[[], Referrer], artifact_type: str, media_type: str, content: bytes, read: Callable[[bytes, Digest], Descriptor]
) -> None:
    referrer = make()
    layer = Descriptor(media_type, Digest.of(content), len(content))
    manifest = decode_manifest(referrer.manifest)
    assert isinstance(manifest, Manifest)
    assert manifest.artifact_type == referrer.descriptor.artifact_type == artifact_type
    assert manifest.config == Descriptor(OCI_EMPTY, Digest.of(b"{}"), 2)
    assert (manifest.layers, manifest.subject) == ((layer,), SUBJECT)
    assert manifest.annotations == referrer.descriptor.annotations
    assert (referrer.descriptor.digest, referrer.descriptor.size_bytes) == (Digest.of(referrer.manifest), len(referrer.manifest))
    assert {blob.digest: data for blob, data in referrer.blobs} == {layer.digest: content, Digest.of(b"{}"): b"{}"}
    assert read(referrer.manifest, SUBJECT.digest) == layer


def test_a_bundle_says_what_it_is_about_as_cosign_does() -> None:
    assert of_bundle().descriptor.annotations == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "urn:mkfs:chunk-index:v1",
        "org.opencontainers.image.created": "2026-11-25T12:00:00Z",
    }


def test_equal_things_give_equal_bytes() -> None:
    assert index_referrer(SUBJECT, b"document") == INDEX
    assert index_referrer(SUBJECT, b"documents") != INDEX


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another kind": (lambda fields: fields.update(artifactType=SIGSTORE_BUNDLE), "another kind"),
    "no kind": (lambda fields: fields.pop("artifactType"), "another kind"),
    "no subject": (lambda fields: fields.pop("subject"), "another artifact"),
    "another subject": (lambda fields: fields["subject"].update(digest=str(Digest.of(b"other"))), "another artifact"),
    "no layer": (lambda fields: fields.update(layers=[]), "exactly one layer"),
    "two layers": (lambda fields: fields.update(layers=2 * fields["layers"]), "exactly one layer"),
    "a layer of another type": (lambda fields: fields["layers"][0].update(mediaType="text/plain"), "exactly one layer"),
    "a layer that is too large": (lambda fields: fields["layers"][0].update(size=DOCUMENT_LIMIT_BYTES + 1), "too large"),
    "an index (OCI)": (lambda fields: (fields.pop("layers"), fields.pop("config"), fields.update(manifests=[])), "mediaType"),
    "a bad digest": (lambda fields: fields["layers"][0].update(digest="sha256:"), "digest"),
}


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_chunk_index_of_this_artifact_is_refused(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    fields = json.loads(INDEX.manifest)
    change(fields)
    with pytest.raises(IntegrityError, match=reason):
        read_index_referrer(json.dumps(fields).encode(), SUBJECT.digest)


def test_the_largest_document_may_be_named() -> None:
    fields = json.loads(INDEX.manifest)
    fields["layers"][0]["size"] = DOCUMENT_LIMIT_BYTES
    assert read_index_referrer(json.dumps(fields).encode(), SUBJECT.digest).size_bytes == DOCUMENT_LIMIT_BYTES


def test_a_manifest_of_another_artifact_is_refused_and_both_are_named() -> None:
    other = Digest.of(b"other")
    with pytest.raises(IntegrityError, match=f"got {SUBJECT.digest}, expected {other}"):
        read_index_referrer(INDEX.manifest, other)


def test_an_index_and_a_bundle_are_not_taken_for_each_other() -> None:
    with pytest.raises(IntegrityError, match="another kind"):
        read_bundle_referrer(INDEX.manifest, SUBJECT.digest)
    with pytest.raises(IntegrityError, match="another kind"):
        read_index_referrer(of_bundle().manifest, SUBJECT.digest)
    fields = {key: value for key, value in json.loads(INDEX.manifest).items() if key not in {"layers", "config", "mediaType"}}
    with pytest.raises(IntegrityError, match="another kind"):
        read_index_referrer(json.dumps({**fields, "manifests": []}).encode(), SUBJECT.digest)


@pytest.mark.parametrize(
    ("predicate_type", "expected"),
    [
        ("urn:mkfs:chunk-index:v1", True),
        ("https://sigstore.dev/cosign/sign/v1", True),
        ("https://slsa.dev/provenance/v1", False),
    ],
)
def test_bundles_that_say_they_are_of_no_use_need_not_be_fetched(predicate_type: str, expected: bool) -> None:
    listed = Descriptor("any", SUBJECT.digest, 1, {"dev.sigstore.bundle.predicateType": predicate_type})
    assert may_help(listed) is expected
    assert may_help(Descriptor("any", SUBJECT.digest, 1))


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"dev.sigstore.bundle.predicateType": "urn:mkfs:chunk-index:v1"}, True),
        ({"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}, False),
        ({"dev.sigstore.bundle.predicateType": ""}, False),
        ({"predicateType": "urn:mkfs:chunk-index:v1"}, False),
        ({}, False),
    ],
)
def test_a_bundle_is_over_a_chunk_index_only_where_the_list_says_so(annotations: dict[str, str], expected: bool) -> None:
    assert is_over_index(Descriptor("any", SUBJECT.digest, 1, annotations)) is expected
