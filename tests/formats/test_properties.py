"""One answer for each of the RFC's properties, wherever an artifact says it, and who contradicts."""

import json

import pytest

from mkfs.errors import BadDocument
from mkfs.formats import answers
from mkfs.formats.properties import PROPERTIES, Answer, Claim, settle
from mkfs.oci.media_types import OCI_IMAGE_CONFIG
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.kits import KitBuilder
from mkfs.testing.producers import docker, images, ollama
from mkfs.testing.producers.modelpacks import EMPTY, modctl
from tests.support import golden
from tests.support.planning import decoded, plan_golden, plan_made

CONFIG = {
    "descriptor": {
        "createdAt": "2025-05-01T10:00:00Z",
        "authors": ["one", "two"],
        "family": "llama3",
        "name": "llama3-8b-instruct",
        "infoURL": "https://example.test",
        "docURL": "https://example.test/docs",
        "sourceURL": "https://example.test/source",
        "version": "1.2",
        "revision": "abc",
        "vendor": "acme",
        "licenses": ["MIT", "Apache-2.0"],
        "title": "Llama",
        "description": "a model",
    },
    "config": {
        "architecture": "transformer",
        "format": "safetensors",
        "paramSize": "8b",
        "precision": "bf16",
        "quantization": "awq",
    },
}
EXPECTED = {
    "architecture": "transformer",
    "family": "llama3",
    "name": "llama3-8b-instruct",
    "format": "safetensors",
    "param.size": "8b",
    "precision": "bf16",
    "quantization": "awq",
    "created": "2025-05-01T10:00:00Z",
    "authors": "one, two",
    "url": "https://example.test",
    "documentation": "https://example.test/docs",
    "source": "https://example.test/source",
    "version": "1.2",
    "revision": "abc",
    "vendor": "acme",
    "licenses": "MIT, Apache-2.0",
    "title": "Llama",
    "description": "a model",
}


def told(made: Artifact, tag: str | None = None) -> dict[str, Answer]:
    found = answers(plan_made(made), decoded(made.manifest), tag)
    return {answer.claim.property: answer for answer in found}


def values(made: Artifact) -> dict[str, str]:
    return {name: answer.claim.value for name, answer in told(made).items()}


def pack(config: object = None, *, prefix: str = "cncf", **annotations: str) -> Artifact:
    part = Part(f"application/vnd.{prefix}.model.config.v1+json", json.dumps({} if config is None else config).encode())
    named = {f"org.cnai.model.{key.replace('__', '.')}": value for key, value in annotations.items()}
    return artifact(part, [], artifact_type=f"application/vnd.{prefix}.model.manifest.v1+json", annotations=named)


def test_the_table_has_24_properties() -> None:
    assert len(PROPERTIES) == len(set(PROPERTIES)) == 24


@pytest.mark.parametrize("prefix", ["cncf", "cnai"])
def test_a_config_answers_for_all_that_is_of_the_model(prefix: str) -> None:
    assert values(pack(CONFIG, prefix=prefix)) == EXPECTED
    assert told(pack(CONFIG))["family"].claim.origin == "config descriptor.family"


@pytest.mark.parametrize(
    ("section", "spelling", "name", "value"),
    [
        ("config", "puantization", "quantization", "gptq"),
        ("config", "parameterSize", "param.size", 8000000000),
        ("config", "param_size", "param.size", "8b"),
        ("descriptor", "createTime", "created", "2024-12-12T00:00:00Z"),
        ("descriptor", "licenses", "licenses", "MIT"),
    ],
)
def test_older_spellings_of_a_config_are_known(section: str, spelling: str, name: str, value: object) -> None:
    assert values(pack({section: {spelling: value}}, prefix="cnai")) == {name: str(value)}


def test_annotations_answer_where_there_is_no_config() -> None:
    annotations = {name.replace(".", "__"): value for name, value in EXPECTED.items()}
    assert values(pack(ref__name="v1", **annotations)) == EXPECTED | {"ref.name": "v1"}
    assert told(pack(family="qwen2"))["family"].claim.origin == "annotation org.cnai.model.family"


def test_the_annotations_of_images_mean_the_same() -> None:
    made = artifact(EMPTY, [Part("text/plain", b"x", {"org.opencontainers.image.title": "x"})])
    made = Artifact(
        made.manifest.replace(b'"layers"', b'"annotations":{"org.opencontainers.image.vendor":"acme"},"layers"'), made.blobs
    )
    assert values(made) == {"vendor": "acme"}


def test_the_config_wins_over_an_annotation_and_the_contradiction_is_shown() -> None:
    answer = told(pack(CONFIG, family="qwen2", precision="bf16"))["family"]
    assert answer.claim.value == "llama3"
    assert answer.contradictions == (Claim("family", "qwen2", "annotation org.cnai.model.family"),)
    assert told(pack(CONFIG, precision="bf16"))["precision"].contradictions == ()


def test_times_that_mean_the_same_moment_do_not_contradict() -> None:
    assert told(pack(CONFIG, created="2025-05-01T12:00:00+02:00"))["created"].contradictions == ()
    assert len(told(pack(CONFIG, created="2025-05-01T12:00:00Z"))["created"].contradictions) == 1
    assert len(told(pack(CONFIG, created="2025-05-01T10:00:00"))["created"].contradictions) == 1  # of no known place


def test_a_kitfile_answers_for_a_kit() -> None:
    kit = KitBuilder("llama", version="1", description="d", license="MIT", authors=["a", "b"]).model("w.gguf", b"w", format="gguf")
    made = kit.docs("README.md", b"").docs("LICENSE", b"l").build()
    assert values(Artifact(made.manifest, made.blobs)) == {
        "name": "llama",
        "title": "llama",
        "version": "1",
        "description": "d",
        "licenses": "MIT",
        "authors": "a, b",
        "format": "gguf",
        "readme": "README.md",
        "license": "LICENSE",
        "model": "w.gguf",
        "filepath": "w.gguf, README.md, LICENSE",
    }


def test_a_modelpack_of_kit_is_answered_for_by_its_config_and_its_kitfile() -> None:
    found = {
        answer.claim.property: answer
        for answer in answers(
            plan_golden("kit-1.11-full-modelpack"), decoded(golden.manifest_bytes("kit-1.11-full-modelpack")), "kit"
        )
    }
    assert found["name"].claim == Claim("name", "full", "config descriptor.name")
    assert found["name"].contradictions == ()
    assert found["licenses"].claim.value == "MIT"
    assert found["ref.name"].claim == Claim("ref.name", "kit", "the tag asked for")


def test_layers_are_told_by_annotation_by_type_and_by_name() -> None:
    files = {"model.safetensors": b"w", "config.json": b"{}", "README.md": b"r", "LICENSE.md": b"l"}
    found = values(modctl(files).artifact)
    assert (found["model"], found["config"]) == ("model.safetensors", "config.json")
    assert (found["readme"], found["license"]) == ("README.md", "LICENSE.md")
    assert found["filepath"] == ", ".join(files)


def test_an_annotation_of_a_layer_that_says_otherwise_is_shown() -> None:
    annotations = {"org.cnai.model.filepath": "notes.md", "org.cnai.model.readme": "true"}
    layers = [
        Part("application/vnd.cnai.model.doc.v1.raw", b"1", annotations),
        Part("application/vnd.cnai.model.doc.v1.raw", b"2", {"org.cnai.model.filepath": "README.md"}),
    ]
    answer = told(artifact(Part("application/vnd.cnai.model.config.v1+json", b"{}"), layers))["readme"]
    assert answer.claim == Claim("readme", "notes.md", "annotation org.cnai.model.readme")
    assert answer.contradictions == (Claim("readme", "README.md", "file name"),)


def test_a_long_list_of_paths_is_cut() -> None:
    found = values(modctl({f"{number:02}.json": b"{}" for number in range(13)}).artifact)
    assert found["filepath"].endswith("09.json and 3 more")


def test_other_producers_answer_in_the_same_words() -> None:
    assert values(artifact(docker.config("v0.2"), [])) == {
        "architecture": "llama",
        "format": "gguf",
        "quantization": "Q4_K_M",
        "created": "2025-05-01T10:00:00Z",
    }
    named = values(ollama.by_role().artifact)
    assert {name: named[name] for name in ("format", "family", "param.size", "quantization")} == {
        "format": "gguf",
        "family": "llama",
        "param.size": "7.2B",
        "quantization": "Q4_0",
    }


def test_an_image_answers_by_its_labels() -> None:
    labels = {"org.opencontainers.image.licenses": "MIT", "other": "x", "org.opencontainers.image.title": "car"}
    config = Part(OCI_IMAGE_CONFIG, json.dumps({"created": "2025-05-01T10:00:00Z", "config": {"Labels": labels}}).encode())
    layer = Part(images.LAYER, images.changeset({"models/a": b""}))
    found = told(artifact(config, [layer]))
    assert {name: found[name].claim.value for name in ("created", "licenses", "title")} == {
        "created": "2025-05-01T10:00:00Z",
        "licenses": "MIT",
        "title": "car",
    }


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"descriptor": []}, "descriptor is a list"),
        ({"descriptor": {"family": {}}}, r"config descriptor\.family is a dict"),
        ({"config": {"format": [["x"]]}}, r"config config\.format is a list"),
    ],
)
def test_a_config_of_wrong_types_is_refused_by_name(config: object, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        plan_made(pack(config))


def test_what_says_nothing_is_no_answer() -> None:
    assert settle([]) == ()
    assert values(pack({"descriptor": {"name": "", "authors": [], "licenses": [None]}}, family="")) == {}
