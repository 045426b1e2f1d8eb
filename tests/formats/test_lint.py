"""Where an artifact departs from the specification: told line by line, and nothing for one that does not."""

import json

import pytest

from mkfs.formats.lint import lint
from mkfs.formats.plan import Documents
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.producers.modelpacks import aikit, modctl
from tests.support import golden
from tests.support.planning import decoded, whole

CNCF = "application/vnd.cncf.model."
GOOD = {
    "descriptor": {"name": "n", "authors": ["a"], "createdAt": "2025-05-01T10:00:00.5Z", "datasetsURL": []},
    "modelfs": {"type": "layers", "diffIds": ["sha256:1"]},
    "config": {"paramSize": "8b", "capabilities": {"inputTypes": ["text"], "reasoning": True, "languages": ["en"]}},
}


def findings(made: Artifact) -> list[str]:
    return lint(Documents(decoded(made.manifest), {digest: whole(body) for digest, body in made.blobs.items()}))


def of_config(**changes: object) -> list[str]:
    config = Part(f"{CNCF}config.v1+json", json.dumps(GOOD | changes).encode())
    return findings(artifact(config, [], artifact_type=f"{CNCF}manifest.v1+json"))


def test_a_modelpack_of_modctl_has_nothing_to_be_told() -> None:
    assert findings(modctl({"model.safetensors": b"w", "config.json": b"{}"}).artifact) == []
    assert of_config() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"extra": 1}, "config: extra is not in the specification"),
        ({"descriptor": 7}, "config: descriptor is 7 (expected an object)"),
        ({"descriptor": {"name": ""}}, "config: descriptor.name is '' (expected a string that is not empty)"),
        ({"descriptor": {"name": 7}}, "config: descriptor.name is 7 (expected a string that is not empty)"),
        ({"descriptor": {"authors": "a"}}, "config: descriptor.authors is 'a' (expected a list)"),
        ({"descriptor": {"licenses": [1]}}, "config: descriptor.licenses[0] is 1 (expected a string)"),
        ({"descriptor": {"createdAt": "today"}}, "config: descriptor.createdAt is 'today' (expected a date and time of RFC 3339)"),
        (
            {"descriptor": {"createdAt": "2025-05-01T10:00:00"}},
            "config: descriptor.createdAt is '2025-05-01T10:00:00' (expected a date and time of RFC 3339)",
        ),
        ({"modelfs": {"type": "layers"}}, "config: modelfs.diffIds is missing"),
        (
            {"modelfs": {"type": "layers", "diffIds": []}},
            "config: modelfs.diffIds is a list (expected a list that is not empty)",
        ),
        ({"modelfs": {"type": "files", "diffIds": ["x"]}}, "config: modelfs.type is 'files' (expected one of layers)"),
        ({"config": {"puantization": "awq"}}, "config: config.puantization is not in the specification"),
        ({"config": {"capabilities": {"reward": "yes"}}}, "config: config.capabilities.reward is 'yes' (expected true or false)"),
        (
            {"config": {"capabilities": {"languages": ["EN"]}}},
            "config: config.capabilities.languages[0] is 'EN' (expected two lower-case letters)",
        ),
        (
            {"config": {"capabilities": {"outputTypes": ["smell"]}}},
            "config: config.capabilities.outputTypes[0] is 'smell' (expected one of text, image, audio, video, embedding, other)",
        ),
    ],
)
def test_each_rule_of_the_schema_is_checked(changes: dict[str, object], expected: str) -> None:
    assert of_config(**changes) == [expected]


def test_what_must_be_there_and_is_not_is_told() -> None:
    made = artifact(Part(f"{CNCF}config.v1+json", b"{}"), [], artifact_type=f"{CNCF}manifest.v1+json")
    assert findings(made) == [f"config: {key} is missing" for key in ("descriptor", "config", "modelfs")]


def test_a_layer_should_have_two_annotations_at_most() -> None:
    found = findings(aikit({"model.safetensors": b"w"}, "raw").artifact)
    assert f"layer 1 of 1 ({CNCF}weight.v1.raw): 4 annotations (at most 2 are recommended)" in found


def test_types_from_before_are_told() -> None:
    found = findings(modctl({"model.safetensors": b"w"}, prefix="cnai").artifact)
    assert found == [
        f"manifest: artifactType is application/vnd.cnai.model.manifest.v1+json (expected {CNCF}manifest.v1+json)",
        f"manifest: the config's mediaType is application/vnd.cnai.model.config.v1+json (expected {CNCF}config.v1+json)",
        "layer 1 of 1 (application/vnd.cnai.model.weight.v1.raw): the type is not one of the specification",
        "config: modelfs.diffIds is missing",
        "config: modelfs.diff_ids is not in the specification",
    ]


def test_the_config_of_other_producers_is_their_own_business() -> None:
    titled = Part("text/plain", b"x", {"org.opencontainers.image.title": "x", "a": "b", "c": "d"})
    made = artifact(Part("application/vnd.example", b"not even JSON"), [titled])
    assert findings(made) == ["layer 1 of 1 (text/plain): 3 annotations (at most 2 are recommended)"]


def test_what_real_tools_packed_departs_in_two_places() -> None:
    told = {}
    for name in golden.names():
        manifest = decoded(golden.manifest_bytes(name))
        found = lint(Documents(manifest, {manifest.config.digest: golden.blob(manifest.config.digest)}))
        if found:
            told[name] = found
    assert told == {
        "kit-1.11-bare-modelpack": ["config: modelfs.diffIds is None (expected a list that is not empty)"],
        "oras-1.3-files": ["layer 3 of 4 (application/vnd.oci.image.layer.v1.tar+gzip): 3 annotations (at most 2 are recommended)"],
    }
