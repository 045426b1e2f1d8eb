"""Models of Ollama: roles become names. Whole artifacts are in `test_producers`."""

import pytest

from mkfs.errors import BadDocument
from mkfs.formats.plan import RawLayer
from mkfs.testing.artifacts import Part, artifact
from mkfs.testing.producers.ollama import layer, model
from tests.support.growing import grown
from tests.support.planning import plan_made, whole


def test_roles_that_stand_several_times_are_numbered() -> None:
    answer = plan_made(model(layer("model", b"1"), layer("license", b"a"), layer("license", b"b"), layer("license", b"c")))
    assert [each.reading for each in answer.layers] == [
        RawLayer(b"model.gguf"),
        RawLayer(b"license"),
        RawLayer(b"license-2"),
        RawLayer(b"license-3"),
    ]
    assert answer.format_name == "Ollama model"


@pytest.mark.parametrize(
    ("stored_as", "name"), [("gguf", b"model.gguf"), ("", b"model.gguf"), ("safetensors", b"model.safetensors"), ("../x", b"model")]
)
def test_weights_end_as_the_config_says(stored_as: str, name: bytes) -> None:
    (answer,) = plan_made(model(layer("model", b"1"), model_format=stored_as)).layers
    assert answer.reading == RawLayer(name)


def test_elements_are_the_words_of_the_kitfile() -> None:
    roles = ("model", "draft", "projector", "adapter", "template", "prompt", "system", "messages", "params", "license")
    answer = plan_made(model(*(layer(role, role.encode()) for role in roles)))
    elements = {each.name.partition(".")[0]: each.element for each in answer.layers}
    assert elements == {"model": "model", "draft": "model", "projector": "parts", "adapter": "parts", "params": "parts"} | {
        "template": "prompts",
        "prompt": "prompts",
        "system": "prompts",
        "messages": "prompts",
        "license": "docs",
    }


def test_a_layer_of_an_unknown_role_is_left_out_and_named() -> None:
    answer = plan_made(model(layer("model", b"1"), layer("hologram", b"2"), Part("text/plain", b"3")))
    assert [each.name for each in answer.layers] == ["model.gguf"]
    assert answer.warnings == (
        "layer 2 of 3 (application/vnd.ollama.image.hologram) is not shown: its type is not known",
        "layer 3 of 3 (text/plain) is not shown: its type is not known",
    )


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a\0b"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    made = model(layer("tensor", b"1", name))
    with pytest.raises(BadDocument):
        grown(plan_made(made), lambda digest: whole(made.blobs[digest]))


def test_wrong_types_are_refused_by_name() -> None:
    with pytest.raises(BadDocument, match=r"layer 1 of 1 .*: its name is 7"):
        plan_made(model(Part("application/vnd.ollama.image.tensor", b"1", fields={"name": 7})))
    with pytest.raises(BadDocument, match="model_format is a list"):
        plan_made(model(layer("model", b"1"), model_format=[]))
    with pytest.raises(BadDocument, match="config: not valid JSON"):
        plan_made(artifact(Part("application/vnd.docker.container.image.v1+json", b"{"), [layer("model", b"1")]))
