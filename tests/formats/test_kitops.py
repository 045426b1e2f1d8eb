"""ModelKits: which layer lands where. A kit is shown as its own tool unpacks it, or refused by name; never something in between."""

import json
from collections.abc import Sequence

import pytest

from mkfs.errors import BadDocument, Unsupported
from mkfs.formats import plan
from mkfs.formats.kitfile import KITFILE_LIMIT_BYTES
from mkfs.formats.plan import Documents, Need, Plan, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import KITOPS_CONFIG, OCI_MANIFEST
from tests.support import golden
from tests.support.unpacking import unpacked

PATH = "org.cncf.model.filepath"
METADATA = "org.cncf.model.file.metadata+json"


def layer(kind: str, content: bytes = b"", **annotations: str) -> Descriptor:
    names = {"path": PATH, "metadata": METADATA}
    data = content or kind.encode()
    described = {names[key]: value for key, value in annotations.items()}
    return Descriptor(f"application/vnd.kitops.modelkit.{kind}", Digest.of(data), len(data), described)


def entry(of: Descriptor | None, path: str, **fields: str) -> dict[str, str]:
    return {"path": path, **fields} | ({"digest": str(of.digest)} if of else {})


def kit(layers: Sequence[Descriptor], **kitfile: object) -> Documents:
    config = json.dumps({"manifestVersion": "1.0.0", "package": {}} | kitfile).encode()
    descriptor = Descriptor(KITOPS_CONFIG, Digest.of(config), len(config))
    return Documents(Manifest(OCI_MANIFEST, "", descriptor, tuple(layers)), {descriptor.digest: config})


def planned(documents: Documents) -> Plan:
    answer = plan(documents)
    assert isinstance(answer, Plan)
    return answer


def documents_of(name: str) -> Documents:
    manifest = decode_manifest(golden.manifest_bytes(name))
    assert isinstance(manifest, Manifest)
    return Documents(manifest, {manifest.config.digest: golden.blob(manifest.config.digest)})


@pytest.mark.parametrize("name", [*golden.tar_kits(), *golden.names("kit-", "-gzip")])
def test_a_planned_kit_is_the_directory_that_kit_unpacked(name: str) -> None:
    answer = planned(documents_of(name))
    assert unpacked(answer, golden.blob) == sorted(golden.expected(name), key=lambda expected: expected["path"])
    assert answer.warnings == ()
    assert answer.properties["packed by"] == "kit " + name.split("-")[1] + ".0"


def test_the_config_is_asked_for_once_and_first() -> None:
    documents = documents_of("kit-1.11-simple-tar")
    assert plan(Documents(documents.manifest)) == Need(documents.manifest.config)
    assert isinstance(plan(documents), Plan)


def test_a_config_that_came_with_the_manifest_is_not_asked_for() -> None:
    documents = kit([])
    config = documents.manifest.config
    embedded = Descriptor(config.media_type, config.digest, config.size_bytes, data=documents.blobs[config.digest])
    assert planned(Documents(Manifest(OCI_MANIFEST, "", embedded, ()))).layers == ()


def test_a_config_too_large_to_be_one_is_not_even_asked_for() -> None:
    config = Descriptor(KITOPS_CONFIG, Digest.of(b""), KITFILE_LIMIT_BYTES + 1)
    with pytest.raises(BadDocument, match="too large"):
        plan(Documents(Manifest(OCI_MANIFEST, "", config, ())))


def test_layers_come_in_the_order_in_which_kit_unpacks_them() -> None:
    kinds = {"code": "code", "docs": "docs", "dataset": "datasets", "modelpart": "parts", "model": "model"}
    layers = {element: layer(f"{kind}.v1.tar") for kind, element in kinds.items()}
    prompt = layer("code.v1.tar", b"prompt")
    documents = kit(
        [*layers.values(), prompt],
        model=entry(layers["model"], "m", name="llama") | {"parts": [entry(layers["parts"], "p")]},
        **{element: [entry(layers[element], element)] for element in ("code", "docs", "datasets")},
        prompts=[entry(prompt, "x.txt")],
    )
    answer = planned(documents).layers
    assert [each.element for each in answer] == ["model", "parts", "datasets", "code", "docs", "prompts"]
    assert [each.name for each in answer] == ["llama", "p", "datasets", "code", "docs", "x.txt"]
    assert answer[5].descriptor == prompt


def test_one_digest_under_several_paths_is_as_many_files() -> None:
    same = [layer("modelpart.v1.raw", b"same", path=path) for path in ("c/b.bin", "a.bin", "d.bin")]
    parts = [entry(same[2], "d.bin"), entry(same[1], "./a.bin"), entry(same[0], "c/b.bin")]
    readings = [each.reading for each in planned(kit(same, model={"parts": parts})).layers]
    assert readings == [RawLayer(b"d.bin"), RawLayer(b"a.bin"), RawLayer(b"c/b.bin")]


def test_one_digest_goes_by_the_manifests_order_where_no_path_decides() -> None:
    same = [layer("docs.v1.raw", b"same", path=path) for path in ("a", "b")]
    readings = [each.reading for each in planned(kit(same, docs=[entry(same[0], "x"), entry(same[0], "y")])).layers]
    assert readings == [RawLayer(b"a"), RawLayer(b"b")]


@pytest.mark.parametrize(
    ("kinds", "elements"), [(("docs", "code"), ("code", "docs")), (("mcpb", "code"), ("prompts", "mcpServers"))]
)
def test_one_digest_of_two_kinds_goes_by_kind_where_no_path_decides(kinds: Sequence[str], elements: Sequence[str]) -> None:
    first, second = (layer(f"{kind}.v1.tar", b"same") for kind in kinds)
    answer = planned(kit([first, second], **{element: [entry(first, "x")] for element in elements}))
    assert [each.element for each in answer.layers] == list(elements)
    assert [each.descriptor for each in answer.layers] == [second, first]


def test_a_raw_layer_has_the_mode_its_annotation_says() -> None:
    metadata = json.dumps({"name": "run", "mode": 0o4755, "size": 3, "typeflag": 0})
    told = layer("code.v1.raw", b"run", path="bin/run", metadata=metadata)
    untold = layer("docs.v1.raw", b"doc", path="a b/ü.md")
    answer = planned(kit([told, untold], code=[entry(told, "bin/run")], docs=[entry(untold, "a b/ü.md")]))
    assert [each.reading for each in answer.layers] == [RawLayer(b"bin/run", 0o755), RawLayer("a b/ü.md".encode(), 0o644)]


def test_a_bundle_of_a_newer_kit_is_one_file() -> None:
    bundle = layer("mcpb.v1.raw", path="fs.mcpb")
    (answer,) = planned(kit([bundle], mcpServers=[entry(bundle, "fs.mcpb", name="fs")])).layers
    assert (answer.reading, answer.element, answer.name) == (RawLayer(b"fs.mcpb"), "mcpServers", "fs")


def test_what_is_left_out_is_said() -> None:
    strange, docs = layer("agent.v2.blob"), layer("docs.v1.tar")
    answer = planned(
        kit(
            [strange, docs], docs=[entry(docs, "d")], datasets=[{"path": "big", "remotePath": "s3://bucket/key", "remoteHash": "x"}]
        )
    )
    assert len(answer.layers) == 1
    assert answer.warnings == (
        "datasets big is not shown: it is not in the ModelKit but referred to from it",
        "layer 1 of 2 (application/vnd.kitops.modelkit.agent.v2.blob) is not shown: nothing in the Kitfile names it",
    )


MODEL = layer("model.v1.tar")


@pytest.mark.parametrize(
    ("kind", "reading"),
    [
        ("docs.v1.tar+gzip", TarLayer(compression="gzip")),
        ("docs.v1.tar+gzip-fastest", TarLayer(compression="gzip")),
        ("docs.v1.tar+zstd", TarLayer(compression="zstd")),
        ("docs.v1.tar+none", TarLayer()),
        ("docs.v1.raw+gzip", RawLayer(b"d", compression="gzip")),
        ("docs.v1.raw+zstd", RawLayer(b"d", compression="zstd")),
    ],
)
def test_a_layer_is_read_as_its_type_says(kind: str, reading: TarLayer | RawLayer) -> None:
    docs = layer(kind, path="d")
    (answer,) = planned(kit([docs], docs=[entry(docs, "d")])).layers
    assert answer.reading == reading


def test_a_compressed_file_has_the_size_its_annotation_says() -> None:
    docs = layer("docs.v1.raw+zstd", b"small", path="d", metadata=json.dumps({"size": 5000, "mode": 0o600}))
    (answer,) = planned(kit([docs], docs=[entry(docs, "d")])).layers
    assert answer.reading == RawLayer(b"d", 0o600, "zstd", 5000)


def test_what_a_layer_is_uncompressed_is_what_the_kitfile_says() -> None:
    first, second = layer("docs.v1.tar+gzip", b"1"), layer("docs.v1.tar+gzip", b"2")
    inside = Digest.of(b"inside")
    documents = kit([first, second], docs=[entry(first, "a", diffId=str(inside)), entry(second, "b", diffId="sha256:nonsense")])
    assert [each.diff_id for each in planned(documents).layers] == [inside, None]


@pytest.mark.parametrize("kind", ["agent.v1.tar", "docs.v2.tar", "docs.v1.tar; a=b", "docs.v1.zip", "docs.v1.tar+br"])
def test_a_layer_of_an_unknown_type_is_left_out_and_named(kind: str) -> None:
    strange, known = layer(kind), layer("code.v1.tar")
    answer = planned(kit([strange, known], docs=[entry(strange, "d")], code=[entry(known, "c")]))
    assert [each.descriptor for each in answer.layers] == [known]
    assert answer.warnings == (
        f"layer 1 of 2 (docs d, application/vnd.kitops.modelkit.{kind}) is not shown: its type is not known",
    )


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (kit([], model={"path": "llama@sha256:1"}), "a reference that cannot be followed: llama@sha256:1"),
        (kit([layer("agent.v1.tar")], docs=[entry(layer("agent.v1.tar"), "d")]), "no layer .* known type: layer 1 of 1 .*agent"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(documents: Documents, words: str) -> None:
    with pytest.raises(Unsupported, match=words) as caught:
        plan(documents)
    assert not isinstance(caught.value, BadDocument)
    assert caught.value.exit_code == 14
    assert len("\n".join(caught.value.lines()).splitlines()) <= 3


OLD_MODEL, OLD_DOCS, OLD_DATA = layer("model.v1.tar+gzip"), layer("docs.v1.tar"), layer("dataset.v1.tar")


def test_a_kit_from_before_layers_had_digests_is_read_by_its_order() -> None:
    """Kit before 0.5: entries are relative to the parent of the Kitfile's path, and layers of a kind stand in its order."""
    more = layer("docs.v1.tar", b"more docs")
    documents = kit(
        [OLD_DOCS, OLD_MODEL, OLD_DATA, more],
        model=entry(None, "models/7b/"),
        docs=[entry(None, "./README.md"), entry(None, "a/b/LICENSE")],
        datasets=[{"path": "away", "remotePath": "s3://bucket/key"}, entry(None, ".")],
    )
    answer = planned(documents)
    assert [(each.element, each.descriptor, each.reading) for each in answer.layers] == [
        ("model", OLD_MODEL, TarLayer(b"models", compression="gzip")),
        ("datasets", OLD_DATA, TarLayer()),
        ("docs", OLD_DOCS, TarLayer()),
        ("docs", more, TarLayer(b"a/b")),
    ]
    assert len(answer.warnings) == 1  # of the data set that is elsewhere


def test_in_an_old_kit_layers_of_unknown_types_are_not_counted() -> None:
    strange = layer("agent.v1.tar")
    answer = planned(kit([strange, OLD_DOCS], docs=[entry(None, "x/d"), entry(None, "e")]))
    assert [each.reading for each in answer.layers] == [TarLayer(b"x")]
    assert answer.warnings == (
        "docs[1] (e) has no layer",
        "layer 1 of 2 (application/vnd.kitops.modelkit.agent.v1.tar) is not shown: nothing in the Kitfile names it",
    )


def test_a_kit_may_be_its_kitfile_alone() -> None:
    answer = planned(kit([], package={"name": "bare"}))
    assert (answer.layers, answer.warnings) == ((), ())
    assert [file.path for file in answer.files] == [b"Kitfile"]


def raw(metadata: str, content: bytes = b"four") -> Documents:
    docs = layer("docs.v1.raw", content, path="d", metadata=metadata)
    return kit([docs], docs=[entry(docs, "d")])


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (kit([layer("docs.v1.raw")], docs=[entry(layer("docs.v1.raw"), "d\n")]), r"layer 1 of 1 \(docs 'd\\n', .*without a path"),
        (raw('{"size":5}'), "got 5, expected 4"),
        (raw('{"mode":420}'), "got None, expected 4"),
        (raw('{"size":4.0}'), "size is 4.0"),
        (raw('{"size":4,"mode":"0644"}'), "mode is '0644'"),
        (raw('{"size":4,"mode":-1}'), "mode is -1"),
        (raw("[]"), METADATA.replace("+", r"\+")),
        (kit([MODEL], docs=[entry(layer("docs.v1.tar"), "d")]), r"docs\[0\] names a layer that the manifest does not have"),
        (kit([MODEL], model=entry(MODEL, "m"), docs=[entry(None, "d")]), r"docs\[0\] has no digest"),
        (kit([OLD_DOCS, OLD_DATA], docs=[entry(None, "d")]), r"layer 2 of 2 .*fewer datasets than"),
    ],
)
def test_a_kit_that_breaks_its_own_rules_is_refused(documents: Documents, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        plan(documents)
