"""Manifests: what real producers write is read in full, and a document with two meanings has none."""

import base64
import hashlib
import json

import pytest

from mkfs.errors import BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES, Index, Manifest, decode_manifest
from mkfs.oci.media_types import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    KITOPS_CONFIG,
    KITOPS_MANIFEST,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
)

# As kit 1.11, kit 1.7 and oras 1.3.6 pushed them, byte for byte.
KIT_1_11_CHILD = (
    b'{"schemaVersion":2,"artifactType":"application/vnd.kitops.modelkit.manifest.v1+json","config":{"mediaType":"application/vnd.kitops'
    b'.modelkit.config.v1+json","digest":"sha256:a5af5fc1a0d30f05c977a25726c4a88c047fc1565144fe307d876d1ce18a0211","size":347},"layers"'
    b':[{"mediaType":"application/vnd.kitops.modelkit.modelpart.v1.tar","digest":"sha256:f8203001f889585ba4d24b08d833abcfcf2a1b5b81c8ef'
    b'f8e741eb1db5f94854","size":2560,"annotations":{"org.cncf.model.filepath":"adapter.bin"}}],"annotations":{"ml.kitops.modelkit.cli-'
    b'version":"1.11.0"}}'
)
KIT_1_7_BARE = (
    b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.kitops.modelkit.config.v1+json","digest":"sha256:77a06a5868a8a4f3374619'
    b'880d253cd08db70ec52bf5243d2eb19904177d39cc","size":71},"layers":null,"annotations":{"ml.kitops.modelkit.cli-version":"1.7.0"}}'
)
ORAS_1_3_FILES = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1",'
    b'"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060'
    b'f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"application/octet-stream","digest":"sha256:82a5e0b7b75a5d2fc84f861ca0'
    b'8e7dd2fed3b51b33433872a733532876444831","size":16976,"annotations":{"org.opencontainers.image.title":"model.safetensors"}},{"medi'
    b'aType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:d51112a6f56330b32c7d7863c2db8e6ea2788344e4ac93afafd999a613de8d56'
    b'","size":64,"annotations":{"org.opencontainers.image.title":"config.json"}},{"mediaType":"application/vnd.oci.image.layer.v1.tar+'
    b'gzip","digest":"sha256:0e1a8d341f1850c7736fa1abf25e3a6770abe572c3f501731d85195a5da7d361","size":152,"annotations":{"io.deis.oras.'
    b'content.digest":"sha256:576dad2063d2dca5d938225230d90e4f3af0a05350bf95302177a58445998aac","io.deis.oras.content.unpack":"true","o'
    b'rg.opencontainers.image.title":"1_Pooling"}},{"mediaType":"text/markdown","digest":"sha256:becdb8250c7da411f5a911750df6d2cde5f6f1'
    b'00dbb773d25df3a9521dad1800","size":3,"annotations":{"org.opencontainers.image.title":"README.md"}}],"annotations":{"org.openconta'
    b'iners.image.created":"2026-11-23T20:13:21Z"}}'
)

DIGEST = Digest.of(b"{}")


def descriptor(**changes: object) -> dict[str, object]:
    return {"mediaType": "application/x", "digest": str(DIGEST), "size": 2} | changes


def manifest(**changes: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": descriptor(), "layers": [descriptor()]} | changes).encode()


def index(**changes: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": [descriptor(mediaType=OCI_MANIFEST)]} | changes).encode()


def test_the_literals_are_what_the_tools_pushed() -> None:
    assert Digest.of(KIT_1_11_CHILD).hex == "7b626a4c3a5cb752ed53772d85fb8651ab5a6857fb10212cc0273eb3093a36ac"
    assert Digest.of(KIT_1_7_BARE).hex == "35f221279daa882483efd4e14d14374ccc6ed7e87aabe054b346d7b2bd37549c"
    assert Digest.of(ORAS_1_3_FILES).hex == "75ec82761c6a87ccf2118410fab8cb97ad51d327ea376cff64a1737d7c3cb9ff"


def test_a_modelkit_of_kit_1_11() -> None:
    assert decode_manifest(KIT_1_11_CHILD) == Manifest(
        media_type=OCI_MANIFEST,
        artifact_type=KITOPS_MANIFEST,
        config=Descriptor(KITOPS_CONFIG, Digest("sha256", "a5af5fc1a0d30f05c977a25726c4a88c047fc1565144fe307d876d1ce18a0211"), 347),
        layers=(
            Descriptor(
                "application/vnd.kitops.modelkit.modelpart.v1.tar",
                Digest("sha256", "f8203001f889585ba4d24b08d833abcfcf2a1b5b81c8eff8e741eb1db5f94854"),
                2560,
                {"org.cncf.model.filepath": "adapter.bin"},
            ),
        ),
        annotations={"ml.kitops.modelkit.cli-version": "1.11.0"},
    )


def test_a_modelkit_without_layers_says_null() -> None:
    found = decode_manifest(KIT_1_7_BARE, "application/vnd.oci.image.manifest.v1+json")
    assert isinstance(found, Manifest)
    assert (found.layers, found.artifact_type, found.config.media_type) == ((), "", KITOPS_CONFIG)


def test_what_oras_embeds_in_the_config_is_at_hand_and_checked() -> None:
    found = decode_manifest(ORAS_1_3_FILES, OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert (found.config.media_type, found.config.data) == (OCI_EMPTY, b"{}")
    assert [layer.size_bytes for layer in found.layers] == [16976, 64, 152, 3]
    assert [layer.data for layer in found.layers] == [None] * 4


def test_an_index_is_told_from_a_manifest() -> None:
    found = decode_manifest(index(artifactType="application/x", annotations={"a": "b"}))
    assert found == Index(OCI_INDEX, "application/x", (Descriptor(OCI_MANIFEST, DIGEST, 2),), {"a": "b"})
    assert decode_manifest(index(manifests=None)) == Index(OCI_INDEX, "", ())


def test_a_subject_and_the_same_layer_twice_are_kept() -> None:
    found = decode_manifest(manifest(layers=[descriptor(), descriptor()], subject=descriptor(mediaType=OCI_MANIFEST)))
    assert isinstance(found, Manifest)
    assert found.layers == (Descriptor("application/x", DIGEST, 2),) * 2
    assert found.subject == Descriptor(OCI_MANIFEST, DIGEST, 2)


def test_what_nobody_asks_for_is_ignored() -> None:
    found = decode_manifest(manifest(x=1, layers=[descriptor(urls=["http://169.254.169.254/"], y={})]))
    assert isinstance(found, Manifest)
    assert found.layers == (Descriptor("application/x", DIGEST, 2),)


def test_fields_that_some_format_asks_for_are_kept_as_they_are() -> None:
    others = {"platform": {"os": 7}, "modelMetadata": {"size": 70_000_000_000}, "name": "n"}
    found = decode_manifest(index(manifests=[descriptor(**others), descriptor(name=None)]))
    assert isinstance(found, Index)
    assert [entry.others for entry in found.manifests] == [others, {}]


@pytest.mark.parametrize(
    ("media_type", "content_type", "expected"),
    [
        (None, "", OCI_MANIFEST),
        (None, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (None, f"{DOCKER_MANIFEST.title()} ; charset=utf-8", DOCKER_MANIFEST),
        (None, "application/json", OCI_MANIFEST),
        (None, "text/html; charset=utf-8", OCI_MANIFEST),
        (DOCKER_MANIFEST, "", DOCKER_MANIFEST),
        (DOCKER_MANIFEST, "application/octet-stream", DOCKER_MANIFEST),
    ],
)
def test_document_and_registry_agree_on_the_type_or_one_of_them_is_silent(
    media_type: str, content_type: str, expected: str
) -> None:
    assert decode_manifest(manifest(mediaType=media_type), content_type).media_type == expected


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (manifest(mediaType=OCI_MANIFEST), DOCKER_MANIFEST),
        (manifest(mediaType=OCI_MANIFEST), OCI_INDEX),
        (manifest(), OCI_INDEX),
        (manifest(), DOCKER_MANIFEST_LIST),
        (manifest(mediaType=OCI_INDEX), ""),
        (manifest(mediaType="application/x"), ""),
        (index(), OCI_MANIFEST),
        (index(mediaType=OCI_MANIFEST), ""),
        (index(mediaType=DOCKER_MANIFEST_LIST), OCI_INDEX),
    ],
)
def test_a_document_that_was_sent_as_something_else_is_refused(data: bytes, content_type: str) -> None:
    with pytest.raises(BadDocument, match=r"manifest: (sent as|mediaType)"):
        decode_manifest(data, content_type)


@pytest.mark.parametrize(
    "data",
    [
        manifest(manifests=[descriptor()]),
        manifest(manifests=None),
        index(config=descriptor()),
        index(layers=None),
    ],
)
def test_a_document_that_is_manifest_and_index_at_once_is_neither(data: bytes) -> None:
    with pytest.raises(BadDocument, match="a manifest and an index at once"):
        decode_manifest(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"schemaVersion":2,"config":{},"layers":[],"layers":[]}',
        manifest(LAYERS=[]),
        manifest(config=descriptor(Size=3)),
    ],
)
def test_a_key_that_others_could_read_for_another_is_refused(data: bytes) -> None:
    with pytest.raises(BadDocument, match=r"occurs twice|differ only in case"):
        decode_manifest(data)


def test_annotations_may_differ_only_in_case() -> None:
    assert decode_manifest(manifest(annotations={"a": "1", "A": "2"})).annotations == {"a": "1", "A": "2"}


def test_a_manifest_that_does_not_mention_layers_is_refused() -> None:
    with pytest.raises(BadDocument, match="neither layers nor manifests"):
        decode_manifest(json.dumps({"schemaVersion": 2, "config": descriptor()}).encode())


@pytest.mark.parametrize("version", [None, 1, 3, 2.0, "2", True, [2]])
def test_other_versions_are_refused(version: object) -> None:
    with pytest.raises(BadDocument, match="schemaVersion is"):
        decode_manifest(manifest(schemaVersion=version))


@pytest.mark.parametrize("size", [-1, 2**63, 2.0, 1e3, True, "2", None, [2], {}])
def test_a_size_is_a_whole_number_that_fits(size: object) -> None:
    with pytest.raises(BadDocument, match=r"layers\[1\].size is"):
        decode_manifest(manifest(layers=[descriptor(), descriptor(size=size)]))


def test_a_layer_of_no_bytes_has_their_digest() -> None:
    """Nobody would notice otherwise: of an empty file no byte is ever asked for."""
    for digest in (Digest.of(b""), Digest("sha512", hashlib.sha512().hexdigest())):
        decode_manifest(manifest(layers=[descriptor(digest=str(digest), size=0)]))
    with pytest.raises(BadDocument, match=r"layers\[1\]\.size is 0"):
        decode_manifest(manifest(layers=[descriptor(), descriptor(size=0)]))


def test_the_largest_size_fits() -> None:
    found = decode_manifest(manifest(layers=[descriptor(size=2**63 - 1)]))
    assert isinstance(found, Manifest)
    assert found.layers[0].size_bytes == 2**63 - 1


@pytest.mark.parametrize(
    "digest", [None, "", 7, "sha256:", f"sha256:{'A' * 64}", f"blake3:{'0' * 64}", "sha256:../../../etc/passwd"]
)
def test_a_bad_digest_is_a_bad_document(digest: object) -> None:
    with pytest.raises(BadDocument, match=r"manifest: config\.digest"):
        decode_manifest(manifest(config=descriptor(digest=digest)))


@pytest.mark.parametrize(
    "data",
    [
        manifest(config=None),
        manifest(config=[]),
        manifest(layers={}),
        manifest(layers="x"),
        manifest(layers=[None]),
        manifest(layers=[[descriptor()]]),
        manifest(layers=[descriptor(mediaType=None)]),
        manifest(layers=[descriptor(mediaType=7)]),
        manifest(layers=[descriptor(mediaType="a\x1b[31m")]),
        manifest(layers=[descriptor(mediaType="x" * 256)]),
        manifest(layers=[descriptor(annotations=[])]),
        manifest(layers=[descriptor(annotations={"a": 1})]),
        manifest(annotations={"a": None}),
        manifest(annotations="x"),
        manifest(artifactType=7),
        manifest(mediaType=7),
        manifest(subject=[]),
        manifest(subject={}),
        index(manifests={}),
        b'{"schemaVersion":2}',
        b'{"schemaVersion":2,"layers":[]}',
        b'{"schemaVersion":2,"config":{}}',
        b"[]",
        b"",
        b"<html>",
    ],
)
def test_a_value_of_the_wrong_kind_is_a_bad_document(data: bytes) -> None:
    with pytest.raises(BadDocument, match=r"^manifest: "):
        decode_manifest(data)


def embedded(content: bytes, **changes: object) -> bytes:
    return manifest(config=descriptor(data=base64.b64encode(content).decode()) | changes)


@pytest.mark.parametrize(
    "data",
    [
        embedded(b"[]"),
        embedded(b"{} "),
        embedded(b""),
        embedded(b"{}", size=3),
        embedded(b"{}", data="e30"),
        embedded(b"{}", data="e3 0="),
        embedded(b"{}", data="é"),
        embedded(b"{}", data=7),
    ],
)
def test_embedded_content_that_is_not_what_the_descriptor_says_is_refused(data: bytes) -> None:
    with pytest.raises(BadDocument, match=r"manifest: config\.data"):
        decode_manifest(data)


def test_an_index_may_have_a_subject_too() -> None:
    found = decode_manifest(index(subject=descriptor(mediaType=OCI_MANIFEST)))
    assert isinstance(found, Index)
    assert found.subject == Descriptor(OCI_MANIFEST, DIGEST, 2)
    plain = decode_manifest(index())
    assert plain.subject is None
    with pytest.raises(BadDocument, match=r"manifest: subject\.digest"):
        decode_manifest(index(subject=descriptor(digest="sha256:x")))


def test_a_media_type_may_be_as_long_as_two_names_and_a_slash() -> None:
    longest = f"{'a' * 127}/{'b' * 127}"
    found = decode_manifest(manifest(artifactType=longest))
    assert found.artifact_type == longest
    with pytest.raises(BadDocument, match="no media type"):
        decode_manifest(manifest(artifactType=f"{longest}b"))


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "None"), ("two", "'two'"), (1, "1"), (2.5, "2.5"), ([1, 2], "a list"), ({"a": 1}, "a dict")]
)
def test_a_value_that_may_be_large_is_shown_by_its_kind(value: object, shown: str) -> None:
    with pytest.raises(BadDocument) as caught:
        decode_manifest(manifest(schemaVersion=value))
    assert f"is {shown} (" in caught.value.what


def test_keys_that_differ_in_case_are_refused_where_they_stand() -> None:
    with pytest.raises(BadDocument, match="manifest: document has two keys"):
        decode_manifest(manifest(Layers=[]))
    with pytest.raises(BadDocument, match=r"manifest: layers\[0\] has two keys"):
        decode_manifest(manifest(layers=[descriptor(Digest="sha256:x")]))


def test_embedded_nothing_is_content_too() -> None:
    found = decode_manifest(embedded(b"", digest=str(Digest.of(b"")), size=0))
    assert isinstance(found, Manifest)
    assert found.config.data == b""


def test_a_manifest_of_four_mebibytes_is_read_and_a_byte_more_is_not() -> None:
    data = manifest().ljust(MANIFEST_LIMIT_BYTES)
    assert isinstance(decode_manifest(data), Manifest)
    with pytest.raises(BadDocument, match="too large"):
        decode_manifest(data + b" ")


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"config":' * 100_000, manifest()[:-1] + b',"x":' + b"[" * 100_000])
def test_a_manifest_of_brackets_is_a_bad_document(data: bytes) -> None:
    with pytest.raises(BadDocument, match="nested deeper"):
        decode_manifest(data.ljust(MANIFEST_LIMIT_BYTES))


def test_an_error_shows_little_of_a_strangers_text() -> None:
    with pytest.raises(BadDocument) as caught:
        decode_manifest(manifest(config=descriptor(size="\x1b" * 100_000)))
    assert len(caught.value.what) < 300
    assert caught.value.what.isprintable()
