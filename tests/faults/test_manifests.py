"""Group J: manifests, indexes and configs that are damaged, hostile or merely odd, mounted by the command.

What the decoders make of each is tested in tests/oci and tests/formats. Here: the exit code, that nothing is mounted, and of what
is legal that every byte is the right one, whatever the documents say of it.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES
from mkfs.oci.media_types import KITOPS_CONFIG, OCI_INDEX, OCI_MANIFEST
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.contents import StoredManifest
from mkfs.testing.producers.images import index
from mkfs.units import MIB
from tests.archive.tarballs import END, member
from tests.faults.inputs import (
    FILEPATH,
    FINE,
    INTEGRITY,
    METADATA,
    MODELPACK,
    NOT_FOUND,
    REPOSITORY,
    Stand,
    modelkit,
    modelpack,
    packed,
    raw,
)

pytestmark = [pytest.mark.fuse, pytest.mark.fault("J"), pytest.mark.share(4)]

WEIGHTS = bytes(range(253)) * 9000  # 2.2 MiB: not fetched before it is read
MADE = modelpack(raw("w", WEIGHTS))
FILES = {"fine": FINE, "w": WEIGHTS}
FINE_AT, WEIGHTS_AT = 0, 1  # in the list of layers

Document = dict[str, Any]
Change = Callable[[Document], object]


def edited(change: Change, made: Artifact = MADE) -> Artifact:
    """`made` with another manifest."""
    document = json.loads(made.manifest)
    change(document)
    return Artifact(json.dumps(document).encode(), made.blobs)


def written(old: bytes, new: bytes) -> Artifact:
    """The same, where JSON itself is to be wrong."""
    assert MADE.manifest.count(old) == 1
    return Artifact(MADE.manifest.replace(old, new), MADE.blobs)


def layer(number: int = WEIGHTS_AT, **fields: object) -> Change:
    return lambda document: document["layers"][number].update(fields)


def top(**fields: object) -> Change:
    return lambda document: document.update(fields)


def with_path(path: str) -> Change:
    return layer(annotations={FILEPATH: path})


def with_metadata(text: str) -> Change:
    return layer(annotations={FILEPATH: "w", METADATA: text})


HEX = Digest.of(WEIGHTS).hex

# name: the artifact, what a person is told
REFUSED: dict[str, tuple[Artifact, str]] = {
    "more than 4 MiB": (Artifact(MADE.manifest.ljust(MANIFEST_LIMIT_BYTES + 1), MADE.blobs), "too large|more than"),
    "depth of 100,000": (
        written(b'"schemaVersion":2', b'"schemaVersion":2,"x":' + b"[" * 100_000 + b"]" * 100_000),
        "nested deeper",
    ),
    "brackets that never close": (Artifact(b"[" * 100_000, {}), "nested deeper"),
    "not JSON": (Artifact(MADE.manifest[:-1], MADE.blobs), "not valid JSON"),
    "not UTF-8": (written(b'"schemaVersion":2', b'"schemaVersion":2,"x":"\xff"'), "not UTF-8"),
    "a page": (Artifact(b"<html>sign in</html>", {}), "not valid JSON"),
    "nothing": (Artifact(b"", {}), "not valid JSON"),
    "a list": (Artifact(b"[]", {}), "not a JSON object"),
    "key twice": (written(b'"schemaVersion":2', b'"schemaVersion":2,"schemaVersion":2'), "occurs twice"),
    "keys that differ in case": (edited(top(Layers=[])), "differ only in case"),
    "NaN": (written(b'"schemaVersion":2', b'"schemaVersion":2,"x":NaN'), "no JSON number"),
    "layers and manifests": (edited(top(manifests=[])), "a manifest and an index at once"),
    "neither layers nor manifests": (edited(lambda document: document.pop("layers")), "neither layers nor manifests"),
    "schema version 1": (edited(top(schemaVersion=1)), "schemaVersion is 1"),
    "says it is an index": (edited(top(mediaType=OCI_INDEX)), "mediaType does not fit"),
    "layers in an object": (edited(top(layers={})), "expected a list"),
    "a layer that is null": (edited(top(layers=[None])), "expected a descriptor"),
    "no config": (edited(lambda document: document.pop("config")), "config is None"),
    "embedded data that are others": (edited(layer(FINE_AT, data="AAAA")), r"layers\[0\]\.data"),
    "escapes in a media type": (edited(layer(mediaType="a\x1b[31m")), "no media type"),
    # the grammar of digests
    "digest in capitals": (edited(layer(digest=f"sha256:{HEX.upper()}")), "lower-case hex"),
    "digest too short": (edited(layer(digest=f"sha256:{HEX[:-1]}")), "not a sha256 digest"),
    "digest of another algorithm": (edited(layer(digest=f"blake3:{HEX}")), "'blake3' is not supported"),
    "digest of a broken algorithm": (edited(layer(digest=f"md5:{HEX[:32]}")), "'md5' is not supported"),
    "digest that is a path": (edited(layer(digest="sha256:../../../../etc/passwd")), "not a digest"),
    "digest without an algorithm": (edited(layer(digest=HEX)), "not a digest"),
    "digest with a line feed": (edited(layer(digest=f"sha256:{HEX}\n")), "not a digest"),
    "digest with a space": (edited(layer(digest=f" sha256:{HEX}")), "not a digest"),
    "digest in other digits": (edited(layer(digest="sha256:" + "\uff11" * 64)), "not a digest"),
    "digest that is null": (edited(layer(digest=None)), "not a digest"),
    # sizes
    "size is negative": (edited(layer(size=-1)), r"layers\[1\]\.size is -1"),
    "size of 2 to the 63rd": (edited(layer(size=2**63)), r"layers\[1\]\.size"),
    "size is a float": (edited(layer(size=float(len(WEIGHTS)))), r"layers\[1\]\.size"),
    "size is nothing, and the digest of something": (edited(layer(size=0)), r"layers\[1\]\.size is 0"),
    "size is text": (edited(layer(size=str(len(WEIGHTS)))), r"layers\[1\]\.size"),
    "size is true": (edited(layer(size=True)), r"layers\[1\]\.size"),
    "size of a million digits": (written(b'"size":%d' % len(WEIGHTS), b'"size":' + b"9" * 1_000_000), "more than 40 digits"),
    # paths in annotations
    "path upwards": (edited(with_path("../w")), "leads upwards"),
    "path upwards in the middle": (edited(with_path("a/../../w")), "leads upwards"),
    "absolute path": (edited(with_path("/etc/passwd")), "is absolute"),
    "path with a NUL": (edited(with_path("a\0b")), "holds a NUL"),
    "path of the directory itself": (edited(with_path(".")), "place of the whole directory"),
    "no path": (edited(layer(annotations={})), "without a path"),
    "path with too long a name": (edited(with_path("n" * 256)), "longer than 255"),
    "half a surrogate in a path": (edited(with_path("\ud800")), "half a surrogate pair"),
    "annotation that is no text": (edited(layer(annotations={FILEPATH: 7})), "not an object of strings"),
    "two files of one path": (edited(with_path("fine")), "'fine' is claimed twice"),
    "file below another file": (edited(with_path("fine/w")), "'fine' is claimed twice"),
    "attributes that are not JSON": (edited(with_metadata("{")), "not valid JSON"),
    "mode that is negative": (edited(with_metadata('{"mode":-1}')), "the file's mode is -1"),
}


@pytest.mark.parametrize(("made", "words"), REFUSED.values(), ids=REFUSED)
def test_manifest_is_refused(stand: Stand, made: Artifact, words: str) -> None:
    stand.is_refused(stand.push(made), words)


def test_manifest_that_is_sent_as_an_index_is_refused(stand: Stand) -> None:
    reference = stand.push(MADE)
    stand.registry.push(REPOSITORY, "1", MADE.manifest, media_type=OCI_INDEX)
    stand.is_refused(reference, "sent as application/vnd.oci.image.index")


# --- configs


def with_config(config: bytes) -> Artifact:
    return artifact(Part(MODELPACK.media_type, config), [raw("w", WEIGHTS)])


def kit_with(**fields: object) -> Artifact:
    """A ModelKit of one file whose Kitfile says more."""
    kitfile = {"manifestVersion": "1.0.0", "model": {"name": "w", "path": "w"}, **fields}
    layers = [Part("application/vnd.kitops.modelkit.model.v1.raw", WEIGHTS, {FILEPATH: "w"})]
    return artifact(Part(KITOPS_CONFIG, json.dumps(kitfile).encode()), layers)


CONFIGS: dict[str, tuple[Artifact, str]] = {
    "not JSON": (with_config(b"{"), "config: not valid JSON"),
    "a list": (with_config(b"[]"), "config: not a JSON object"),
    "depth of 100,000": (with_config(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested deeper"),
    "key twice": (with_config(b'{"modelfs":{},"modelfs":{}}'), "occurs twice"),
    "section of another kind": (with_config(b'{"modelfs":[]}'), "modelfs is"),
    "more than a MiB": (with_config(b'{"x":"' + b"x" * MIB + b'"}'), "too large"),
    "Kitfile that is no JSON": (artifact(Part(KITOPS_CONFIG, b"manifestVersion: 1"), [raw("w")]), "Kitfile: not valid JSON"),
    "Kitfile with a number for a path": (kit_with(model={"path": 7}), "model.path"),
    "Kitfile with keys that differ in case": (kit_with(Model={"path": "w"}), "differs only in case"),
    "Kitfile with a digest that is none": (kit_with(model={"path": "w", "digest": "sha256:x"}), "not a"),
    "Kitfile with a layer that is not there": (
        kit_with(model={"path": "w", "digest": str(Digest.of(b"else"))}),
        "a layer that the manifest does not have",
    ),
}


@pytest.mark.parametrize(("made", "words"), CONFIGS.values(), ids=CONFIGS)
def test_config_is_refused(stand: Stand, made: Artifact, words: str) -> None:
    stand.is_refused(stand.push(made), words)


# --- other bytes than the digest says


def test_pinned_manifest_that_is_another_one_is_refused(stand: Stand) -> None:
    stand.push(MADE)
    contents = stand.registry.repositories[REPOSITORY]
    contents.manifests[MADE.digest] = StoredManifest(modelpack(raw("evil")).manifest, OCI_MANIFEST)
    pinned = f"{stand.server.host}/{REPOSITORY}@{MADE.digest}"
    assert str(MADE.digest) in stand.is_refused(pinned, "does not match its digest", exit_code=INTEGRITY).said


def test_tagged_manifest_that_is_not_what_the_registry_says_is_refused(stand: Stand) -> None:
    reference = stand.push(MADE)
    contents = stand.registry.repositories[REPOSITORY]
    contents.manifests[MADE.digest] = StoredManifest(modelpack(raw("evil")).manifest, OCI_MANIFEST)
    stand.is_refused(reference, "does not match its digest", exit_code=INTEGRITY)


OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "shorter": lambda right: right[:-1],
    "as long": lambda right: right[::-1],
    "longer": lambda right: right + b" ",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_config_that_is_another_one_is_refused(stand: Stand, other: Callable[[bytes], bytes]) -> None:
    reference = stand.push(MADE)
    stand.registry.repositories[REPOSITORY].blobs[MODELPACK.digest] = MemoryBody(other(MODELPACK.data))
    told = stand.is_refused(reference, "does not match its digest|has a wrong length", exit_code=INTEGRITY)
    assert "the registry's copy is damaged" in told.said


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_small_layer_that_is_another_one_is_an_error_of_its_file_alone(stand: Stand, other: Callable[[bytes], bytes]) -> None:
    reference = stand.push(MADE)
    stand.registry.repositories[REPOSITORY].blobs[Digest.of(FINE)] = MemoryBody(other(FINE))
    stand.is_shown(reference, FILES, errors={"fine": "EIO"})


def test_large_layer_that_is_another_one_is_an_error_of_its_file_alone(stand: Stand) -> None:
    reference = stand.push(MADE)
    stand.registry.repositories[REPOSITORY].blobs[Digest.of(WEIGHTS)] = MemoryBody(WEIGHTS[::-1])
    seen = stand.is_shown(reference, FILES, errors={"w": "EIO"})
    assert "does not match its digest" in seen.log
    assert "same wrong bytes" in seen.log


@pytest.mark.parametrize("more_bytes", [-MIB, -1, 1, 1 << 40], ids=["a MiB less", "a byte less", "a byte more", "a TiB more"])
def test_wrong_size_of_a_large_layer_is_an_error_of_its_file_alone(stand: Stand, more_bytes: int) -> None:
    """How large the file is, the manifest alone says; that nobody has such bytes shows when they are read."""
    reference = stand.push(edited(layer(size=len(WEIGHTS) + more_bytes)))
    seen = stand.is_shown(reference, FILES, errors={"w": "EIO"})
    assert "has not the size that its manifest says" in seen.log


@pytest.mark.parametrize("size", [len(FINE) - 1, len(FINE) + 1], ids=["a byte less", "a byte more"])
def test_wrong_size_of_a_small_layer_is_an_error_of_its_file_alone(stand: Stand, size: int) -> None:
    stand.is_shown(stand.push(edited(layer(FINE_AT, size=size))), FILES, errors={"fine": "EIO"})


def test_wrong_size_of_an_archive_is_refused(stand: Stand) -> None:
    """Its headers are asked for where they must be, and the registry says that it holds another number of bytes."""
    archive = packed(member(b"a", WEIGHTS) + END)
    reference = stand.push(edited(layer(size=len(archive.data) + 512), modelpack(archive)))
    stand.is_refused(reference, f"expected bytes .*/{len(archive.data) + 512}|wrong length", exit_code=INTEGRITY)


# --- indexes


def index_of(stand: Stand, *entries: tuple[Artifact, dict[str, object]]) -> Artifact:
    """An index whose manifests are there."""
    for made, _ in entries:
        stand.push(made, "child")
    return index(entries)


def test_index_of_nothing_is_refused(stand: Stand) -> None:
    stand.is_refused(stand.push(index([])), "holds no artifacts")


def test_index_of_two_without_a_choice_is_refused_with_the_list(stand: Stand) -> None:
    reference = stand.push(index_of(stand, (MADE, {}), (modelpack(raw("other")), {})))
    assert "--select" in stand.is_refused(reference, "an index of 2 artifacts").said


def test_index_whose_manifest_is_missing_is_refused(stand: Stand) -> None:
    stand.is_refused(stand.push(index([(MADE, {})])), str(MADE.digest), exit_code=NOT_FOUND)


def test_index_whose_manifest_is_another_one_is_refused(stand: Stand) -> None:
    reference = stand.push(index_of(stand, (MADE, {})))
    stand.registry.repositories[REPOSITORY].manifests[MADE.digest] = StoredManifest(modelpack().manifest, OCI_MANIFEST)
    stand.is_refused(reference, "does not match its digest", exit_code=INTEGRITY)


def test_index_with_a_wrong_size_is_refused(stand: Stand) -> None:
    reference = stand.push(index_of(stand, (MADE, {"size": len(MADE.manifest) + 1})))
    stand.is_refused(reference, "bytes", exit_code=INTEGRITY)


def test_index_of_indexes_of_indexes_is_refused(stand: Stand) -> None:
    made = MADE
    for _ in range(4):
        made = index_of(stand, (made, {"mediaType": OCI_INDEX}))
    stand.is_refused(stand.push(made), "index of indexes, more than 2 deep")


# --- legal, and shown


def sha512(made: Artifact) -> Artifact:
    """The same with a digest of another algorithm that can be checked."""
    digest = Digest("sha512", hashlib.sha512(WEIGHTS).hexdigest())
    return edited(layer(digest=str(digest)), Artifact(made.manifest, {**made.blobs, digest: MemoryBody(WEIGHTS)}))


LEGAL: dict[str, tuple[Artifact, dict[str, bytes]]] = {
    "just 4 MiB": (Artifact(MADE.manifest.ljust(MANIFEST_LIMIT_BYTES), MADE.blobs), FILES),
    "digest of sha512": (sha512(MADE), FILES),
    "no media type": (edited(lambda document: document.pop("mediaType")), FILES),
    "subject of its own kind": (
        edited(top(subject={"mediaType": OCI_MANIFEST, "digest": str(MADE.digest), "size": len(MADE.manifest)})),
        FILES,
    ),
    "fields of tomorrow": (edited(top(future={"layers": [1, 2]}, annotations={"x": "y" * MIB})), FILES),
    "one layer under two paths": (
        edited(lambda document: document["layers"].append({**document["layers"][WEIGHTS_AT], "annotations": {FILEPATH: "v"}})),
        {**FILES, "v": WEIGHTS},
    ),
    "paths that only look bad": (modelpack(raw("..\\x", WEIGHTS), raw("a..b/-rf", FINE)), {"..\\x": WEIGHTS, "a..b/-rf": FINE}),
    "diff_ids that are wrong": (
        artifact(
            Part(MODELPACK.media_type, json.dumps({"modelfs": {"type": "layers", "diffIds": [str(MADE.digest)]}}).encode()),
            [raw("w", WEIGHTS)],
        ),
        {"w": WEIGHTS},
    ),
    "type of a layer that nobody knows": (
        modelpack(raw("w", WEIGHTS), Part("application/vnd.cncf.model.telepathy.v1", b"?", {FILEPATH: "t"})),
        FILES,
    ),
    "files of no bytes": (modelkit(("e", "raw", b""), ("w", "raw", WEIGHTS)), {"e": b"", "w": WEIGHTS}),
}


@pytest.mark.parametrize(("made", "files"), LEGAL.values(), ids=LEGAL)
def test_shown(stand: Stand, made: Artifact, files: dict[str, bytes]) -> None:
    stand.is_shown(stand.push(made), files)


def test_addresses_in_a_descriptor_are_never_asked(stand: Stand) -> None:
    """`urls` once sent credentials wherever a manifest said (CVE-2020-15157); here they are no field that anybody reads."""
    address = f"{stand.server.url}/storage/{Digest.of(WEIGHTS)}"
    stand.is_shown(stand.push(edited(layer(urls=[address, "http://169.254.169.254/latest/meta-data"]))), FILES)
    assert not [served.path for served in stand.registry.log if "/storage/" in served.path]
    del stand.registry.repositories[REPOSITORY].blobs[Digest.of(FINE)]
    missing = edited(layer(FINE_AT, urls=[f"{stand.server.url}/storage/{Digest.of(FINE)}"]))
    stand.shell.run("cache", "clear")
    stand.registry.repositories[REPOSITORY].add_manifest(missing.manifest, "2")
    stand.is_refused(f"{stand.server.host}/{REPOSITORY}:2", str(Digest.of(FINE)), exit_code=NOT_FOUND)
