"""Models that are a reference to another kit: what of which kit is shown, and which chains are refused."""

import json

import pytest

from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.choice import Choice
from mkfs.formats.filters import parse_filter
from mkfs.formats.parents import CHAIN_LIMIT
from mkfs.formats.plan import Plan
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import KITOPS_CONFIG
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.producers.modelpacks import modctl
from tests.support import golden
from tests.support.planning import plan_of, whole
from tests.support.unpacking import unpacked

HOST = "registry.test/team"
PARENT = f"{HOST}/base:7b"


def made(kit: Kit) -> Artifact:
    return Artifact(kit.manifest, kit.blobs)


def child(path: str = PARENT, **more: object) -> Artifact:
    """A kit whose model is a reference, with an adapter of its own."""
    kit = KitBuilder("child").part("adapter.bin", b"adapter").docs("README.md", b"child").build()
    config = json.loads(kit.config)
    config["model"] = {**config["model"], "name": "m", "path": path, **more}
    part = Part(KITOPS_CONFIG, json.dumps(config).encode())
    layers = json.loads(kit.manifest)["layers"]
    parts = [
        Part(layer["mediaType"], whole(kit.blobs[Digest.parse(layer["digest"])]), layer.get("annotations", {})) for layer in layers
    ]
    return artifact(part, parts)


def parent(name: str = "base") -> Artifact:
    builder = (
        KitBuilder(name).model("weights.bin", name.encode(), name="llama").part("tok.json", b"{}").docs("PARENT.md", b"not shown")
    )
    return made(builder.code("src.py", b"not shown").build())


def plan(of: Artifact, *filters: str, **parents: Artifact) -> Plan:
    blobs = {digest: whole(body) for digest, body in of.blobs.items()}
    return plan_of(of.manifest, blobs, parents, Choice(tuple(parse_filter(text) for text in filters)))


def names(answer: Plan) -> list[str]:
    return [layer.name for layer in answer.layers]


def test_the_real_child_is_what_kit_unpacked() -> None:
    """Kit 1.11 packed and unpacked both."""
    by_name = {
        name: Artifact(golden.manifest_bytes(name), {Digest.parse(d): MemoryBody(data) for d, data in golden.blobs(name).items()})
        for name in ("kit-1.11-child-tar", "kit-1.11-simple-tar")
    }
    child_kit = by_name["kit-1.11-child-tar"]
    parents = {"127.0.0.1:5310/golden/kit-1.11:simple-tar": by_name["kit-1.11-simple-tar"]}
    answer = plan_of(child_kit.manifest, {digest: whole(body) for digest, body in child_kit.blobs.items()}, parents)
    expected = sorted(golden.expected("kit-1.11-child-tar"), key=lambda entry: entry["path"])
    assert unpacked(answer, golden.blob) == expected


def test_model_and_parts_of_the_parent_come_before_the_childs_own() -> None:
    base = parent()
    answer = plan(child(), **{PARENT: base})
    assert names(answer) == ["llama", "tok.json", "adapter.bin", "README.md"]
    origins = [None if layer.origin is None else str(layer.origin) for layer in answer.layers]
    pinned = f"{PARENT}@{base.digest}"
    assert origins == [pinned, pinned, None, None]
    assert [file.path for file in answer.files] == [b"Kitfile"]
    assert b"child" in answer.files[0].data


def test_a_parent_by_tag_is_not_covered_by_the_digest_and_one_by_digest_is() -> None:
    base = parent()
    by_tag = plan(child(), **{PARENT: base})
    assert [str(each) for each in by_tag.parents] == [f"{PARENT}@{base.digest}"]
    assert by_tag.uncovered_parents == by_tag.parents
    for text in (f"{HOST}/base@{base.digest}", f"{PARENT}@{base.digest}"):
        by_digest = plan(child(text), **{text: base})
        assert (len(by_digest.parents), by_digest.uncovered_parents) == (1, ())


def test_a_chain_is_followed_to_its_end_the_oldest_first() -> None:
    middle, oldest = f"{HOST}/middle:1", f"{HOST}/oldest:1"
    answer = plan(child(middle), **{middle: child(oldest), oldest: parent()})
    assert names(answer) == ["llama", "tok.json", "adapter.bin", "adapter.bin", "README.md"]
    assert [each.tag for each in answer.parents] == ["1", "1"]
    assert [str(each).partition("@")[0] for each in answer.parents] == [middle, oldest]


def test_a_parent_may_be_a_modelpack() -> None:
    base = modctl({"model.safetensors": b"w", "config.json": b"{}", "README.md": b"not shown"}).artifact
    assert names(plan(child(), **{PARENT: base})) == ["model.safetensors", "config.json", "adapter.bin", "README.md"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("docs",), ["README.md"]),
        (("model:llama",), ["llama"]),
        (("model:adapter.bin", "docs"), ["adapter.bin", "README.md"]),
        (("model",), ["llama", "tok.json", "adapter.bin"]),
    ],
)
def test_filters_hold_for_parents_too(filters: tuple[str, ...], expected: list[str]) -> None:
    assert names(plan(child(), *filters, **{PARENT: parent()})) == expected


def test_a_parent_that_no_filter_wants_is_not_asked_for() -> None:
    answer = plan(child(), "docs,kitfile")
    assert (names(answer), answer.parents) == (["README.md"], ())


def test_a_circle_is_refused_and_shown() -> None:
    other = f"{HOST}/other:1"
    with pytest.raises(Unsupported, match="refer to one another in a circle") as caught:
        plan(child(), **{PARENT: child(other), other: child(PARENT)})
    assert caught.value.where == f"{PARENT} → {other} → {PARENT}"
    with pytest.raises(Unsupported, match="in a circle"):
        plan(child(), **{PARENT: child()})


def test_ten_parents_in_a_row_are_followed_and_eleven_are_not() -> None:
    texts = [f"{HOST}/n{number}:1" for number in range(CHAIN_LIMIT + 1)]
    kits = {text: child(following) for text, following in zip(texts, [*texts[1:], ""], strict=True)}
    kits[texts[CHAIN_LIMIT - 1]] = parent()
    assert len(plan(child(texts[0]), **kits).parents) == CHAIN_LIMIT
    kits[texts[CHAIN_LIMIT - 1]], kits[texts[CHAIN_LIMIT]] = child(texts[CHAIN_LIMIT]), parent()
    with pytest.raises(Unsupported, match="more than 10 ModelKits"):
        plan(child(texts[0]), **kits)


@pytest.mark.parametrize(
    "text", ["base:7b", "team/base:7b", "localhost:5000/base", "sha256:" + "0" * 64, "reg.test/UPPER:1", "a:b:c"]
)
def test_a_reference_that_names_no_artifact_of_a_registry_is_refused(text: str) -> None:
    with pytest.raises(Unsupported, match="a reference that cannot be followed") as caught:
        plan(child(text))
    assert "its own disk only" in caught.value.hint
    assert len(caught.value.lines()) <= 3


def test_what_is_wrong_with_a_parent_is_said_of_the_parent() -> None:
    chart = artifact(Part("application/vnd.cncf.helm.config.v1+json", b"{}"), [])
    with pytest.raises(Unsupported, match="a Helm chart") as caught:
        plan(child(), **{PARENT: chart})
    assert caught.value.where.startswith(f"{PARENT}@{chart.digest}, which this ModelKit refers to")
    broken = artifact(Part(KITOPS_CONFIG, b"[]"), [])
    with pytest.raises(BadDocument) as bad:
        plan(child(), **{PARENT: broken})
    assert str(broken.digest) in bad.value.where


def test_what_of_a_parent_is_not_shown_is_said() -> None:
    kit = KitBuilder("base").model("weights.bin", b"w").build()
    (layer,) = json.loads(kit.manifest)["layers"]
    parts = [Part(layer["mediaType"], whole(kit.layers[0].body)), Part("application/vnd.kitops.modelkit.soul.v1.tar", b"?")]
    strange = artifact(Part(KITOPS_CONFIG, kit.config), parts)
    (warning,) = plan(child(), **{PARENT: strange}).warnings
    assert warning.startswith(f"{PARENT}@{strange.digest}: layer 2 of 2")
