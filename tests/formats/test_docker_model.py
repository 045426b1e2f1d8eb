"""Models of Docker: what its own tool makes a bundle of, and what it leaves out. Whole artifacts are in `test_producers`."""

import json

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.plan import TarLayer
from mkfs.testing.artifacts import Artifact, Part, artifact, tar
from mkfs.testing.producers.docker import TYPE, config, layer
from tests.support.growing import grown
from tests.support.planning import plan_made, whole


def pack(*layers: Part, version: str = "v0.1", **fields: object) -> Artifact:
    return artifact(config(version, **fields), layers)


def names(made: Artifact) -> list[str]:
    """What is in `model/`, in the order of the plan."""
    return [each.name for each in plan_made(made).layers]


def test_weights_have_the_names_that_docker_gives_them() -> None:
    assert names(pack(layer("gguf.v3", b"1"))) == ["model.gguf"]
    assert names(pack(*(layer("gguf.v3", b"%d" % n, "own.gguf") for n in range(2)))) == [
        "model-00001-of-00002.gguf",
        "model-00002-of-00002.gguf",
    ]
    assert names(pack(layer("safetensors", b"1"))) == ["model.safetensors"]
    mixed = [layer("safetensors", b"1", "unet/m.safetensors"), layer("safetensors", b"2")]
    assert names(pack(*mixed)) == ["unet/m.safetensors", "model-00002-of-00002.safetensors"]
    dduf = layer("dduf", b"1")
    assert names(pack(dduf, layer("dduf", b"2"))) == [f"{dduf.digest.hex}.dduf"]


def test_weights_of_one_format_are_taken() -> None:
    made = pack(layer("safetensors", b"1"), layer("gguf.v3", b"2"))
    assert names(made) == ["model.gguf"]
    assert plan_made(made).warnings == (f"layer 1 of 2 ({TYPE}safetensors) is not shown: Docker's own tool does not unpack it",)


def test_what_docker_does_not_unpack_is_named() -> None:
    extra = [layer("license", b"l"), layer("gguf.v3.lora", b"a"), Part("text/plain", b"x"), layer("model.file", b"y")]
    answer = plan_made(pack(layer("gguf.v3", b"1"), *extra))
    assert [each.name for each in answer.layers] == ["model.gguf"]
    assert len(answer.warnings) == 4


@pytest.mark.parametrize("kind", ["mmproj", "gguf.v3.mmproj"])
def test_one_projector_is_taken_and_of_two_none(kind: str) -> None:
    weights, projector = layer("gguf.v3", b"1"), layer(kind, b"p")
    assert names(pack(projector, weights)) == ["model.gguf", "model.mmproj"]
    assert names(pack(projector, layer(kind, b"q"), weights)) == ["model.gguf"]


def test_archives_are_unpacked_beside_the_weights_without_their_links() -> None:
    answer = plan_made(pack(layer("gguf.v3", b"1"), layer("vllm.config.tar", tar({})), layer("dir.tar", tar({}))))
    reading = TarLayer(b"model", skipped=frozenset({EntryKind.SYMLINK, EntryKind.HARDLINK}))
    assert [each.reading for each in answer.layers[1:]] == [reading, reading]


def test_a_layer_per_file_is_a_file_whatever_its_type() -> None:
    layers = [layer("dir.tar", b"no archive", "a/b.tar"), layer("license", b"l", "LICENSE"), layer("gguf.v3", b"g")]
    answer = plan_made(pack(*layers, layer("model.file", b"again", "LICENSE"), version="v0.2"))
    assert [each.name for each in answer.layers] == ["a/b.tar", "LICENSE"]
    assert answer.warnings == (
        f"layer 3 of 4 ({TYPE}gguf.v3) is not shown: it has no path",
        f"layer 4 of 4 ({TYPE}model.file) is not shown: its path stands already",
    )


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a\0b"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    made = pack(layer("model.file", b"x", path), version="v0.2")
    with pytest.raises(BadDocument):
        grown(plan_made(made), lambda digest: whole(made.blobs[digest]))


def runtime(**fields: object) -> bytes:
    """The bundle's `config.json`."""
    made = artifact(Part(f"{TYPE}model.config.v0.2+json", json.dumps({"config": fields}).encode()), [])
    (file,) = plan_made(made).files
    assert file.path == b"config.json"
    return file.data


def test_the_runtime_config_is_gos() -> None:
    assert runtime(size="8 <B>", format="gguf", gguf={"b": "2", "a": "1"}, context_size=4096, unheard="of", parameters="") == (
        b'{"format":"gguf","size":"8 \\u003cB\\u003e","gguf":{"a":"1","b":"2"},"context_size":4096}\n'
    )
    assert runtime() == b"{}\n"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": 7}, "config.format is 7"),
        ({"gguf": []}, "config.gguf is a list"),
        ({"gguf": {"a": 1}}, "config.gguf is a dict"),
        ({"context_size": "4096"}, "config.context_size is '4096'"),
    ],
)
def test_a_config_of_wrong_types_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        runtime(**fields)


def test_what_cannot_be_shown_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="no weights that its own tool knows"):
        plan_made(pack(layer("license", b"l")))
    with pytest.raises(Unsupported, match=r"version v0\.3"):
        plan_made(pack(layer("gguf.v3", b"1"), version="v0.3"))
    with pytest.raises(BadDocument, match="config is a list"):
        plan_made(artifact(Part(f"{TYPE}model.config.v0.1+json", b'{"config":[1]}'), []))
