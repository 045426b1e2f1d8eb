"""`verify`: every byte hashed, whatever was known, and the exit code that scripts rely on."""

import json
import os
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.cache.material import flip
from tests.support.mounting import Shell

INTEGRITY, USAGE = 13, 2


@pytest.fixture(scope="module")
def kit() -> Kit:
    weights = Directory({"a.safetensors": 3 * MIB, "b.safetensors": 2 * MIB + 1})
    return (
        KitBuilder("llama", seed=4).model("weights", weights).part("raw.bin", 2 * MIB, raw=True).docs("README.md", b"#\n").build()
    )


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def rows(stdout: str) -> list[tuple[str, str]]:
    return [(row["before"], row["outcome"]) for row in json.loads(stdout)["layers"]]


def test_it_says_what_was_proven_before_and_fetches_only_the_rest(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    first = shell.run("verify", reference, "--format", "json")
    assert (first.exit_code, rows(first.stdout)) == (
        0,
        [("layer digest", "fetched"), ("layer digest", "fetched"), ("own", "fetched")],
    )
    registry.log.clear()
    again = shell.run("verify", reference, "--format", "json")
    assert (again.exit_code, rows(again.stdout)) == (0, [("own", "cached")] * 3)
    assert not any(registry.requests(layer.digest) for layer in kit.layers)


def test_a_damaged_layer_is_named_with_its_range(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    registry.faults.install(Fault(Match(digest=kit.layers[0].digest), Flip(5000)))
    ran = shell.run("verify", reference)
    assert ran.exit_code == INTEGRITY
    assert kit.layers[0].digest.hex in ran.stderr
    assert "of 3 layers are what their digests say" in ran.stdout
    assert len(ran.lines) <= 10


def test_rot_on_our_own_disk_is_found_mended_and_no_verdict_on_the_artifact(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    assert shell.run("warmup", reference).exit_code == 0
    flip(shell.cache / "layers" / "sha256" / kit.layers[1].digest.hex / "1", MIB + 5)
    registry.log.clear()
    ran = shell.run("verify", reference)
    assert ran.exit_code == 0, ran
    assert 0 < registry.bytes_sent(kit.layers[1].digest) <= kit.layers[1].body.size_bytes


@pytest.mark.fuse
def test_a_mounted_directory_stands_for_what_is_mounted_there(reference: str, shell: Shell, tmp_path: Path) -> None:
    with shell.mounted(reference) as mount:
        ran = shell.run("verify", mount.place, "--format", "json")
        assert ran.exit_code == 0, ran
        assert json.loads(ran.stdout)["reference"] == mount.entry.source
    ran = shell.run("verify", tmp_path)
    assert (ran.exit_code, "nothing of ours is mounted" in ran.stderr) == (USAGE, True)


@pytest.mark.fuse
def test_attributes_of_a_mounted_file_tell_its_proof(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference, "--xattr") as mount:
        path = mount.place / "raw.bin"
        assert os.getxattr(path, "user.mkfs.digest").decode() == str(kit.manifest_digest)
        assert os.getxattr(path, "user.mkfs.layer.digest").decode() == str(kit.layers[1].digest)
        before = (os.getxattr(path, "user.mkfs.proof"), os.getxattr(path, "user.mkfs.proven_bytes"))
        path.read_bytes()
        after = (os.getxattr(path, "user.mkfs.proof"), os.getxattr(path, "user.mkfs.proven_bytes"))
        assert (before, after) == ((b"layer digest", b"0"), (b"own", b"%d" % (2 * MIB)))


def test_what_an_artifact_says_of_its_uncompressed_layers_is_compared(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    kit = KitBuilder("llama", seed=4, compression="gzip").model("w.bin", 2 * MIB, raw=True).docs("README.md", b"#\n").build()
    registry.push("team/llama", "right", kit.manifest, kit.blobs)
    config = kit.config.replace(kit.layers[1].diff_id.hex.encode(), bytes(b"0" * 64))
    wrong = kit.manifest.replace(str(Digest.of(kit.config)).encode(), str(Digest.of(config)).encode())
    registry.push("team/llama", "wrong", wrong, {**kit.blobs, Digest.of(config): config})
    wrong_one, right_one = f"{server.host}/team/llama:wrong", f"{server.host}/team/llama:right"
    told = "warning: diff_ids are wrong, for 1 of 2 layers that were compared: docs README.md is sha256:"
    assert "warning" not in shell.run("inspect", wrong_one).stderr  # nobody has decompressed it yet
    assert "warning" not in shell.run("verify", right_one).stderr
    for command in ("inspect", "verify"):
        ran = shell.run(command, wrong_one)
        assert (ran.exit_code, told in ran.stderr) == (0, True), ran
    assert "warning" not in shell.run("inspect", right_one).stderr
    shell.run("cache", "clear")
    assert "warning" not in shell.run("inspect", wrong_one).stderr


def test_and_so_is_what_a_modelpack_of_kit_says_of_them(golden_host: str, shell: Shell) -> None:
    reference = f"{golden_host}/golden/kits:kit-1.11-full-modelpack"
    for command in ("inspect", "verify"):
        ran = shell.run(command, reference)
        assert ran.exit_code == 0
        assert ran.stderr.count("warning: diff_ids are wrong, for 8 of 8 layers that were compared: ") == 1
    document = json.loads(shell.run("inspect", reference, "--format", "json").stdout)
    assert [each for each in document["warnings"] if "diff_ids" in each]
