"""What a person may choose of an artifact, and what a command says of where it comes from."""

import json

import pytest

from mkfs.oci.media_types import KITOPS_CONFIG, KITOPS_INDEX, KITOPS_LAYER_PREFIX
from mkfs.testing.artifacts import Artifact, Part, artifact, tar
from mkfs.testing.kits import KitBuilder
from mkfs.testing.producers.images import index
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Shell

KIT = (
    KitBuilder("kit", seed=3)
    .model("weights.bin", 3 * MIB)
    .docs("README.md", b"# hi")
    .dataset("data.bin", 2 * MIB, name="eval")
    .build()
)
ADAPTER = tar({"adapter.bin": b"a"})


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("team/kit", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/team/kit:1"


@pytest.mark.fuse
def test_a_mount_shows_what_is_wanted_and_fetches_no_byte_of_the_rest(
    reference: str, registry: MemoryRegistry, shell: Shell
) -> None:
    with shell.mounted(reference, "--filter", "docs", "--filter", "datasets:eval") as mount:
        assert sorted(path.name for path in mount.place.iterdir()) == ["README.md", "data.bin"]
        assert len(mount.path("data.bin").read_bytes()) == 2 * MIB
    assert registry.requests(KIT.layers[0].digest) == ()


def test_ls_and_warmup_know_the_same_filters(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    listed = shell.run("ls", reference, "--filter", "kitfile,docs:README.md")
    assert listed.stdout.split() == ["Kitfile", "README.md"]
    warmed = json.loads(shell.run("warmup", reference, "--filter", "model", "--format", "json").stdout)
    assert [layer["name"] for layer in warmed["layers"]] == ["model weights.bin"]
    assert registry.requests(KIT.layers[1].digest) == ()


def test_what_is_no_filter_is_a_word_too_many(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    for text in ("weights", "model:a:b"):
        ran = shell.run("ls", reference, "--filter", text)
        assert (ran.exit_code, len(ran.lines) <= 3) == (2, True), ran
    assert registry.requests() == ()


def test_a_model_of_another_kit_is_named_with_its_digest(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    registry.push("base/llama", "7b", KIT.manifest, KIT.blobs)
    child = KitBuilder("child").part("adapter.bin", b"a").build()
    config = json.loads(child.config)
    config["model"]["path"] = f"{server.host}/base/llama:7b"
    made = artifact(Part(KITOPS_CONFIG, json.dumps(config).encode()), [Part(f"{KITOPS_LAYER_PREFIX}modelpart.v1.tar", ADAPTER)])
    registry.push("team/child", "1", made.manifest, made.blobs)
    reference = f"{server.host}/team/child:1"
    pinned = f"{server.host}/base/llama:7b@{KIT.manifest_digest}"
    listed = shell.run("ls", reference)
    assert listed.stdout.split() == ["Kitfile", "adapter.bin", "weights.bin"]
    assert listed.stderr == f"the model is that of {pinned}: its tag is not covered by the digest\n"
    document = json.loads(shell.run("inspect", reference, "--format", "json").stdout)
    assert document["parents"] == [{"reference": pinned, "covered_by_digest": False}]
    elsewhere = reference.replace("127.0.0.1", "localhost")  # another name is another registry
    refused = shell.run("ls", elsewhere)
    assert (refused.exit_code, f"--allow-reference-host {server.host}" in refused.stderr) == (14, True), refused
    assert shell.run("ls", elsewhere, "--allow-reference-host", server.host).stdout == listed.stdout


def test_a_filter_that_leaves_nothing_says_so(reference: str, shell: Shell) -> None:
    ran = shell.run("ls", reference, "--filter", "code")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "the filter leaves nothing of this artifact, which has model, datasets, docs" in ran.stderr


def test_an_artifact_of_an_index_is_chosen_by_its_label(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kits = {name: KitBuilder(name).docs(f"{name}.md", name.encode()).build() for name in ("q4", "q8")}
    made = index(
        [(Artifact(kit.manifest, kit.blobs), {"modelMetadata": {"quantization": name}}) for name, kit in kits.items()],
        artifact_type=KITOPS_INDEX,
    )
    for kit in kits.values():
        registry.push("team/index", None, kit.manifest, kit.blobs)
    registry.push("team/index", "1", made.manifest, {})
    reference = f"{server.host}/team/index:1"
    refused = shell.run("ls", reference)
    assert (refused.exit_code, len(refused.lines)) == (14, 3), refused
    assert "(quantization=q4)" in refused.stderr
    assert "--select" in refused.stderr
    assert shell.run("ls", reference, "--select", "quantization=q8").stdout.split() == ["Kitfile", "q8.md"]
    document = json.loads(shell.run("inspect", reference, "--select", "quantization=q4", "--format", "json").stdout)
    assert (document["digest"], document["index"]) == (str(kits["q4"].manifest_digest), str(made.digest))
    assert shell.run("ls", reference, "--select", "quantization").exit_code == 2
