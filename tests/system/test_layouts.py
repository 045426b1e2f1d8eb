"""Artifacts out of a directory: `oci:DIR[:TAG]`."""

import json
import shutil
from pathlib import Path

import pytest

from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.support import golden
from tests.support.mounting import Shell

FULL = "kit-1.11-full-tar"


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): golden.sha256(path.read_bytes()) for path in root.rglob("*") if path.is_file()}


@pytest.mark.fuse
@pytest.mark.parametrize("options", [(), ("--offline",)])
def test_a_mounted_artifact_of_a_layout_is_what_its_tool_wrote(shell: Shell, options: tuple[str, ...]) -> None:
    with shell.mounted(f"oci:{golden.LAYOUT}:{FULL}", "--no-allow-other", *options) as mount:
        assert files(mount.place) == {entry["path"]: entry["sha256"] for entry in golden.expected(FULL) if "sha256" in entry}
        assert mount.entry.source == f"oci:{golden.LAYOUT}:{FULL}@{golden.manifest_digest(FULL)}"


@pytest.mark.fuse
@pytest.mark.parametrize("name", ["two words, ümlaut", "with:colon"])
def test_a_layout_is_found_from_where_one_stands(shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(golden.LAYOUT, shell.home / name)
    monkeypatch.chdir(shell.home)
    with shell.mounted(f"oci:{name}/:{FULL}", "--no-allow-other") as mount:
        assert mount.path("Kitfile").read_bytes() == golden.kitfile(FULL)
        assert mount.entry.source.startswith(f"oci:{shell.home}/{name}".encode("unicode_escape").decode())
        verified = shell.run("verify", mount.place)
        assert verified.exit_code == 0, verified


def test_a_layout_of_several_says_what_it_has(shell: Shell) -> None:
    unnamed, unknown = shell.run("ls", f"oci:{golden.LAYOUT}"), shell.run("ls", f"oci:{golden.LAYOUT}:none")
    assert (unnamed.exit_code, unknown.exit_code) == (14, 10), (unnamed, unknown)
    assert all("kit-1.11-bare-gzip" in ran.stderr and len(ran.lines) <= 3 for ran in (unnamed, unknown))


def test_a_layout_is_warmed_and_inspected_as_a_registry_is(shell: Shell) -> None:
    reference = f"oci:{golden.LAYOUT}@{golden.manifest_digest(FULL)}"
    assert shell.run("warmup", reference).exit_code == 0
    document = json.loads(shell.run("inspect", reference, "--format", "json").stdout)
    assert document["reference"] == reference
    assert {layer["proof"] for layer in document["layers"]} == {"published"}


def test_from_a_layout_no_registry_is_asked_that_was_not_allowed(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    kit = KitBuilder("base", seed=4).model("weights.bin", 1000).build()
    registry.push("base/llama", "7b", kit.manifest, kit.blobs)
    root = shell.home / "layout"
    (root / "blobs" / "sha256").mkdir(parents=True)
    config = json.dumps({"manifestVersion": "1.0.0", "model": {"path": f"{server.host}/base/llama:7b"}}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {
                "mediaType": "application/vnd.kitops.modelkit.config.v1+json",
                "digest": f"sha256:{golden.sha256(config)}",
                "size": len(config),
            },
            "layers": [],
        }
    ).encode()
    for data in (config, manifest):
        (root / "blobs" / "sha256" / golden.sha256(data)).write_bytes(data)
    media_type = "application/vnd.oci.image.manifest.v1+json"
    entry = {"mediaType": media_type, "digest": f"sha256:{golden.sha256(manifest)}", "size": len(manifest)}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    refused = shell.run("ls", f"oci:{root}")
    assert (refused.exit_code, f"--allow-reference-host {server.host}" in refused.stderr) == (14, True), refused
    assert registry.requests() == ()
    assert shell.run("ls", f"oci:{root}", "--allow-reference-host", server.host).stdout.split() == ["Kitfile", "weights.bin"]


def test_a_word_without_a_directory_is_no_reference(shell: Shell) -> None:
    ran = shell.run("ls", "oci:")
    assert (ran.exit_code, "oci:DIR" in ran.stderr) == (2, True), ran
