"""What producers without golden artifacts make of a directory is shown as their own tool lays it out."""

import pytest

from mkfs.testing.producers import Made, docker, modelpacks, ollama
from mkfs.testing.producers.old_kit import kit_before_0_5
from mkfs.tree.nodes import File
from tests.support import golden
from tests.support.growing import grown
from tests.support.planning import plan_made, whole
from tests.support.unpacking import unpacked

PROJECT = {
    "models/7b/w.bin": b"weights" * 500,
    "models/7b/sub/config.json": b"{}",
    "models/7b/lora/l.bin": b"lora",
    "README.md": b"# read me",
    "src/main.py": b"print()",
    "src/pkg/empty.py": b"",
    "data/a b/ü.csv": b"1,2",
}
OLD_ENTRIES = [
    ("model", "./models/7b/"),
    ("parts", "models/7b/lora"),
    ("docs", "README.md"),
    ("code", "src"),
    ("datasets", "data/a b/ü.csv"),
]
MODEL = {
    "model.safetensors": b"weights" * 700,
    "text encoder/model.safetensors": b"other weights",
    "unet/model.safetensors": b"yet other weights",
    "config.json": b"{}",
    "a/b/tokenizer.json": b"[]",
    "README.md": b"# hello",
    "a/run.py": b"",
    "data/ü.csv": b"1",
}

MADE = {
    "kit before 0.5": kit_before_0_5(PROJECT, OLD_ENTRIES),
    "kit before 0.5, not compressed": kit_before_0_5(PROJECT, OLD_ENTRIES, compressed=False),
    "kit before 0.5, all of the context": kit_before_0_5(PROJECT, [("code", "."), ("docs", "README.md")]),
    "modctl, raw": modelpacks.modctl(MODEL),
    "modctl, tar": modelpacks.modctl(MODEL, raw=False),
    "modctl before cncf, raw": modelpacks.modctl(MODEL, prefix="cnai"),
    "modctl before cncf, tar": modelpacks.modctl(MODEL, prefix="cnai", raw=False),
    "AIKit, raw": modelpacks.aikit(MODEL, "raw"),
    "AIKit, tar": modelpacks.aikit(MODEL, "tar"),
    "AIKit, tar+gzip": modelpacks.aikit(MODEL, "tar+gzip"),
    "RFC option 1": modelpacks.rfc_config_as_layer(MODEL),
    "RFC option 2, config as archive": modelpacks.rfc_config_archive(MODEL, archive=True),
    "RFC option 2, config as JSON": modelpacks.rfc_config_archive(MODEL, archive=False),
    "RFC, config of an image": modelpacks.rfc_image_config(MODEL),
    "Docker, a layer per file": docker.layer_per_file({**MODEL, "chat.jinja": b"{{ x }}"}),
    "Docker by type, one GGUF": docker.by_type([b"GGUF"], "gguf.v3", {"config.json": b"{}"}, {"sub/a.txt": b"a"}),
    "Docker by type, shards": docker.by_type([b"1", b"2"], "safetensors", {}, {}),
    "Ollama by role": ollama.by_role(),
    "Ollama by name": ollama.by_name(
        {"text_encoder/model.embed_tokens.weight": b"t", "config.json": b"{}", "vae/conv.weight": b"v"}
    ),
}


def shown(made: Made) -> dict[str, str]:
    """Path and sha256 of each file that comes from a layer."""
    plan = plan_made(made.artifact)
    listed = unpacked(plan, lambda digest: whole(made.artifact.blobs[digest]))
    inline = {file.path.decode() for file in plan.files}
    return {entry["path"]: entry["sha256"] for entry in listed if entry["type"] == "file" and entry["path"] not in inline}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_the_files_are_those_the_tool_writes(made: Made) -> None:
    assert shown(made) == {path: golden.sha256(data) for path, data in made.files.items()}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_and_so_are_those_of_the_tree(made: Made) -> None:
    of = grown(plan_made(made.artifact), lambda digest: whole(made.artifact.blobs[digest]))
    files = {path.decode(): of.content(node) for path, node in of.tree.walk() if isinstance(node, File) and node.layer is not None}
    assert files == made.files
