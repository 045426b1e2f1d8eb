"""ModelPacks: what annotations and configs may say, and what is made of it. Whole artifacts are in `test_producers`."""

import json
from collections.abc import Sequence

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadDocument, Unsupported
from mkfs.formats import plan
from mkfs.formats.model_config import CONFIG_LIMIT_BYTES
from mkfs.formats.plan import Documents, Need, Plan, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.testing.artifacts import Artifact, Part, artifact, tar
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers.modelpacks import EMPTY, modctl, model_config
from tests.support import golden
from tests.support.planning import plan_golden, plan_made, whole
from tests.support.unpacking import unpacked

CNCF, CNAI = "application/vnd.cncf.model.", "application/vnd.cnai.model."
TYPE = f"{CNCF}manifest.v1+json"
PATH, OLD_PATH = "org.cncf.model.filepath", "org.cnai.model.filepath"
METADATA = "org.cncf.model.file.metadata+json"
FILES = {"model.safetensors": b"w", "config.json": b"{}"}


def layer(kind: str, data: bytes = b"data", **annotations: str) -> Part:
    keys = {"path": PATH, "metadata": METADATA, "title": "org.opencontainers.image.title"}
    return Part(f"{CNCF}{kind}", data, {keys.get(name, name): value for name, value in annotations.items()})


def pack(*layers: Part, config: Part | None = None, artifact_type: str = TYPE) -> Artifact:
    return artifact(config or Part(f"{CNCF}config.v1+json", b"{}"), layers, artifact_type=artifact_type)


def reading(part: Part, **others: Part) -> TarLayer | RawLayer:
    (planned,) = plan_made(pack(part, **others)).layers
    return planned.reading


@pytest.mark.parametrize("name", [*golden.names("kit-", "-modelpack"), *golden.names("modctl-")])
def test_a_planned_modelpack_is_the_directory_its_tool_unpacked(name: str) -> None:
    answer = plan_golden(name)
    assert unpacked(answer, golden.blob) == sorted(golden.expected(name), key=lambda expected: expected["path"])
    assert answer.format_name == "CNCF ModelPack"


def test_the_config_is_asked_for_once_and_first() -> None:
    manifest = decode_manifest(golden.manifest_bytes("modctl-0.2-hf-raw"))
    assert isinstance(manifest, Manifest)
    assert plan(Documents(manifest)) == Need(manifest.config)
    assert isinstance(plan(Documents(manifest, {manifest.config.digest: golden.blob(manifest.config.digest)})), Plan)


@pytest.mark.parametrize(
    ("artifact_type", "config", "kind"),
    [
        (TYPE, "application/vnd.oci.empty.v1+json", f"{CNCF}weight.v1.raw"),
        (f"{CNAI}manifest.v1+json", "application/vnd.oci.empty.v1+json", f"{CNAI}weight.v1.raw"),
        ("", f"{CNCF}config.v1+json", f"{CNCF}weight.v1.raw"),
        ("", f"{CNAI}config.v1+json", f"{CNAI}weight.v1.raw"),
        ("", "application/vnd.oci.image.config.v1+json", f"{CNCF}weight.v1.raw"),  # the layers alone tell
    ],
)
def test_a_modelpack_is_recognised_by_any_of_its_types(artifact_type: str, config: str, kind: str) -> None:
    made = artifact(Part(config, b"{}"), [Part(kind, b"w", {PATH: "w.bin"})], artifact_type=artifact_type)
    answer = plan_made(made)
    assert [each.reading for each in answer.layers] == [RawLayer(b"w.bin")]
    assert ("cnai" in answer.format_name) == ("cnai" in artifact_type + config + kind)


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        ("weight", "model"),
        ("weight.config", "parts"),
        ("doc", "docs"),
        ("code", "code"),
        ("dataset", "datasets"),
    ],
)
@pytest.mark.parametrize("form", ["raw", "tar", "tar+gzip", "tar+zstd"])
def test_every_kind_of_layer_has_its_place(kind: str, element: str, form: str) -> None:
    (planned,) = plan_made(pack(layer(f"{kind}.v1.{form}", path="a/b"))).layers
    assert (planned.element, planned.name, planned.ids[-1]) == (element, "a/b", "a/b")
    assert planned.reading.compression == form.partition("+")[2]
    assert isinstance(planned.reading, RawLayer) == (form == "raw")


@pytest.mark.parametrize("kind", ["weight.v1.gguf", "weight.v1.safetensors"])
def test_what_docker_calls_its_weights_is_a_file(kind: str) -> None:
    assert reading(layer(kind, path="m")) == RawLayer(b"m")


def test_mode_and_time_of_a_file_are_its_own() -> None:
    metadata = {"name": "run", "mode": 0o104755, "size": 4, "mtime": "2025-05-01T12:00:00.5+02:00", "typeflag": 0}
    answer = reading(layer("code.v1.raw", path="bin/run", metadata=json.dumps(metadata)))
    assert answer == RawLayer(b"bin/run", 0o755, mtime_ns=1746093600_500000000)


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "{}",
        '{"mode":0,"mtime":"0001-01-01T00:00:00Z"}',
        '{"mtime":"1970-01-01T00:00:00Z"}',
        '{"mtime":"yesterday"}',
        '{"mtime":7}',
    ],
)
def test_what_says_nothing_of_mode_and_time_leaves_the_usual_ones(metadata: str) -> None:
    assert reading(layer("doc.v1.raw", path="d", metadata=metadata)) == RawLayer(b"d", 0o644)


@pytest.mark.parametrize("key", ["org.cnai.model.file.metadata+json", "org.cnai.model.file.metadata"])
def test_older_names_of_the_annotations_mean_the_same(key: str) -> None:
    part = Part(f"{CNAI}weight.v1.raw", b"w", {OLD_PATH: "old.bin", key: '{"mode":384}'})
    assert reading(part) == RawLayer(b"old.bin", 0o600)


def test_the_newer_name_of_an_annotation_counts_where_both_stand() -> None:
    assert reading(layer("doc.v1.raw", path="new", **{OLD_PATH: "old"})) == RawLayer(b"new")


def test_a_title_names_a_file_that_has_no_path() -> None:
    assert reading(layer("weight.v1.raw", title="w.gguf")) == RawLayer(b"w.gguf")


def test_an_archive_is_read_by_the_names_in_it_whatever_its_annotation_says() -> None:
    part = layer("weight.v1.tar", tar({"inside/w.bin": b"w"}), path="elsewhere/other.bin", metadata='{"name":"other.bin"}')
    answer = reading(part)
    assert isinstance(answer, TarLayer)
    assert (answer.prefix, answer.keeps_times) == (b"", True)
    assert answer.skipped == {EntryKind.SYMLINK, EntryKind.HARDLINK}


def test_the_types_of_an_image_mean_archives_unless_oras_pushed_a_file() -> None:
    parts = [
        Part("application/vnd.oci.image.layer.v1.tar+gzip", b"1"),
        Part("application/vnd.docker.image.rootfs.diff.tar.gzip", b"2"),
        Part("application/vnd.oci.image.layer.v1.tar", b"3", {"org.opencontainers.image.title": "plain.bin"}),
        Part("application/vnd.oci.image.layer.v1.tar", b"4", {OLD_PATH: "w.bin"}, {"artifactType": f"{CNAI}layer.v1.tar"}),
    ]
    readings = [each.reading for each in plan_made(pack(*parts)).layers]
    assert [each.compression for each in readings] == ["gzip", "gzip", "", ""]
    assert readings[2] == RawLayer(b"plain.bin")
    assert [isinstance(each, TarLayer) for each in readings] == [True, True, False, True]


@pytest.mark.parametrize("kind", ["weight.v2.raw", "weight.v1.zip", "weight.v1.raw+gzip", "tensor.v1.raw", "weight.v1.tar+br"])
def test_a_layer_of_an_unknown_type_is_left_out_and_named(kind: str) -> None:
    answer = plan_made(pack(layer(kind, path="x"), layer("doc.v1.raw", path="d")))
    assert [each.name for each in answer.layers] == ["d"]
    assert answer.warnings == (f"layer 1 of 2 ({CNCF}{kind}) is not shown: its type is not known",)
    with pytest.raises(Unsupported, match="no layer of this ModelPack is of a known type: layer 1 of 1"):
        plan_made(pack(layer(kind, path="x")))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (pack(layer("weight.v1.raw")), "layer 1 of 1 .* one file without a path"),
        (pack(layer("weight.v1.raw", path="w", metadata="[]")), "layer 1 of 1 .*annotation org.cncf.model.file"),
        (pack(layer("weight.v1.raw", path="w", metadata='{"mode":"0644"}')), "the file's mode is '0644'"),
        (pack(layer("weight.v1.raw", path="w", metadata='{"size":-1}')), "the file's size is -1"),
        (pack(config=Part(f"{CNCF}config.v1+json", b"no json")), "config: not valid JSON"),
        (pack(config=Part(f"{CNCF}config.v1+json", b'{"a":1,"a":2}')), "config: .*occurs twice"),
        (pack(config=Part(f"{CNCF}config.v1+json", b'{"a":' * 70 + b"1" + b"}" * 70)), "nested deeper"),
        (pack(config=Part(f"{CNCF}config.v1+json", b'{"modelfs":[]}')), "config: modelfs is a list"),
        (pack(config=Part(f"{CNCF}config.v1+json", b'{"modelfs":{"diffIds":[7]}}')), "config: diff_ids are a list"),
        (pack(config=Part(f"{CNAI}config.v1.tar+gzip", b"no gzip")), "config: not gzip"),
        (pack(config=Part(f"{CNAI}config.v1.tar+gzip", gzipped(b"x" * 2048)[:-9])), "config: gzip ends too early"),
        (pack(config=Part(f"{CNAI}config.v1.tar+gzip", gzipped(bytes(CONFIG_LIMIT_BYTES + 1)))), "config: larger than 1048576"),
        (pack(config=Part(f"{CNAI}config.v1.tar+gzip", gzipped(b"x" * 2048))), "config: checksum is not a number"),
        (pack(config=Part(f"{CNAI}config.v1.tar", tar({"d": None}))), "config: an archive without a file"),
    ],
)
def test_a_modelpack_that_breaks_the_rules_is_refused(made: Artifact, words: str) -> None:
    with pytest.raises(BadDocument, match=words) as caught:
        plan_made(made)
    assert caught.value.exit_code == 14
    assert len("\n".join(caught.value.lines()).splitlines()) <= 3


def test_a_config_too_large_to_be_one_is_not_even_asked_for() -> None:
    config = Descriptor(f"{CNCF}config.v1+json", Digest.of(b""), CONFIG_LIMIT_BYTES + 1)
    with pytest.raises(BadDocument, match="too large"):
        plan(Documents(Manifest("", TYPE, config, ())))


# --- the config, where it is


def ids(*parts: Part) -> list[str]:
    return [str(part.digest) for part in parts]


@pytest.mark.parametrize("prefix", ["cncf", "cnai"])
def test_diff_ids_of_either_spelling_are_known(prefix: str) -> None:
    made = modctl(FILES, prefix=prefix, raw=False)  # type: ignore[arg-type]  # both are prefixes
    answer = plan_made(made.artifact)
    assert [each.diff_id for each in answer.layers] == [each.descriptor.digest for each in answer.layers]
    assert answer.doubts == ()


@pytest.mark.parametrize(
    ("diff_ids", "doubts"),
    [
        (None, ()),
        (["sha256:" + "0" * 64, "nonsense"], ("config: 1 of 2 diff_ids are no digests",)),
        ([], ("config: 0 diff_ids for 2 layers",)),
    ],
)
def test_diff_ids_that_cannot_be_compared_are_told(diff_ids: list[str] | None, doubts: Sequence[str]) -> None:
    parts = [layer("weight.v1.raw", b"1", path="1"), layer("doc.v1.tar", b"2", path="2")]
    assert plan_made(pack(*parts, config=model_config({}, diff_ids=diff_ids))).doubts == doubts


def test_diff_ids_of_compressed_layers_are_left_to_whoever_decompresses_them() -> None:
    inside = Digest.of(b"inside")
    part = layer("doc.v1.tar+gzip", b"z")
    answer = plan_made(pack(part, config=model_config({}, diff_ids=[str(inside)])))
    assert (answer.layers[0].diff_id, answer.doubts) == (inside, ())


def test_diff_ids_of_a_pack_by_kit_are_those_of_its_config_in_the_order_of_the_manifest() -> None:
    name = "kit-1.11-full-modelpack"
    manifest = json.loads(golden.manifest_bytes(name))
    said = json.loads(golden.blob(manifest["config"]["digest"]))["modelfs"]["diffIds"]
    by_layer = dict(zip((layer["digest"] for layer in manifest["layers"]), said, strict=True))
    answer = plan_golden(name)
    assert len(answer.layers) == 8
    for each in answer.layers:
        assert str(each.diff_id) == by_layer[str(each.descriptor.digest)]


def needed(made: Artifact) -> list[Digest]:
    """The documents that are asked for, in order."""
    manifest = decode_manifest(made.manifest)
    assert isinstance(manifest, Manifest)
    known: dict[Digest, bytes] = {}
    while isinstance(answer := plan(Documents(manifest, known)), Need):
        assert isinstance(answer.wanted, Descriptor)
        known[answer.wanted.digest] = whole(made.blobs[answer.wanted.digest])
    return list(known)


def test_only_a_layer_that_says_it_is_the_config_is_looked_into() -> None:
    other = layer("weight.v1.raw", b"{}", path="w")
    marked = Part(f"{CNAI}layer.v1.tar", tar({"c.json": model_config({}).data}), {"org.cnai.model.config": "true"})
    typed = Part(f"{CNAI}config.v1+json", model_config({}).data)
    assert needed(pack(other, config=EMPTY)) == []
    assert needed(pack(other, marked, config=EMPTY)) == [marked.digest]
    assert needed(pack(other, typed, config=EMPTY)) == [typed.digest]


@pytest.mark.parametrize("data", [b"layers: yaml", tar({"config.json": b'{"hidden_size":7}'}), b""])
def test_a_models_own_configuration_is_not_taken_for_the_config(data: bytes) -> None:
    marked = Part(f"{CNAI}layer.v1.tar", data, {"org.cnai.model.config": "true", OLD_PATH: "config.json"})
    answer = plan_made(pack(marked, config=EMPTY))
    assert len(answer.layers) == 1
    assert answer.warnings == ()
