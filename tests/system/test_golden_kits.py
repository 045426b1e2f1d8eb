"""Kits that the real kit packed, out of a real registry: the directory is the one that `kit unpack` wrote."""

import hashlib
import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import golden
from tests.support.docker_registry import DockerRegistry
from tests.support.golden import ExpectedEntry
from tests.support.mounting import Shell

pytestmark = [pytest.mark.fuse, pytest.mark.registry]


def listing(root: Path) -> dict[str, ExpectedEntry]:
    """Every path below `root` as `golden.expected` has it, contents read through the kernel."""
    found: dict[str, ExpectedEntry] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(directory, name)
            status = path.lstat()
            entry: ExpectedEntry = {
                "path": str(path.relative_to(root)),
                "mode": f"{stat.S_IMODE(status.st_mode):04o}",
                "type": "dir" if stat.S_ISDIR(status.st_mode) else "file",
            }
            if stat.S_ISREG(status.st_mode):
                entry["size"] = status.st_size
                entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            found[entry["path"]] = entry
    return found


MODELPACKS = ["kit-1.11-full-modelpack", "modctl-0.2-hf-raw", "modctl-0.2-hf-tar"]


def unpacked(name: str) -> dict[str, ExpectedEntry]:
    """What its tool wrote, without the right to write."""
    entries = {entry["path"]: entry for entry in golden.expected(name)}
    for entry in entries.values():
        entry["mode"] = f"{int(entry['mode'], 8) & 0o555:04o}"
    return entries


# One of each shape: all of them are read without a mount in tests/content.
COMPRESSED = ["kit-1.11-full-gzip", "kit-1.11-many-gzip", "kit-1.7-names-gzip", "kit-1.7-twins-gzip"]


@pytest.mark.parametrize("name", [*golden.tar_kits(), *COMPRESSED])
def test_a_mounted_kit_is_what_kit_unpack_wrote(golden_host: str, shell: Shell, name: str) -> None:
    with shell.mounted(f"{golden_host}/golden/kits:{name}", "--no-allow-other") as mount:
        expected, found = unpacked(name), listing(mount.place)
        kitfile = mount.path("Kitfile").read_bytes()
        assert yaml.safe_load(kitfile) == yaml.safe_load(golden.kitfile(name) or b"")
        assert kitfile == golden.kitfile(name)
        assert found == expected
        names = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=mount.place, capture_output=True, check=True).stdout
        assert {os.fsdecode(each.removeprefix(b"./")) for each in names.split(b"\0")[:-1]} == expected.keys()
        mount.umount()
    assert list(mount.place.iterdir()) == []


@pytest.mark.parametrize("name", MODELPACKS)
def test_a_mounted_modelpack_is_what_its_tool_wrote(golden_host: str, shell: Shell, name: str) -> None:
    with shell.mounted(f"{golden_host}/golden/kits:{name}", "--no-allow-other") as mount:
        assert listing(mount.place) == unpacked(name)


@pytest.mark.parametrize("name", ["modctl-0.2-hf-raw", "modctl-0.2-hf-tar"])
def test_files_of_modctl_have_their_own_times(golden_host: str, shell: Shell, name: str) -> None:
    with shell.mounted(f"{golden_host}/golden/kits:{name}", "--no-allow-other") as mount:
        times = {path.name: int(path.stat().st_mtime) for path in mount.place.iterdir() if path.is_file()}
    assert times["config.json"] == 1700000000  # 2023-11-14T22:13:20Z, as its packer's file had
    assert all(time > 1700000000 for name, time in times.items() if name != "config.json")


@pytest.mark.oras
def test_a_kit_that_oras_copied_into_the_registry_is_the_same(docker: DockerRegistry, shell: Shell, oras: Path) -> None:
    name, reference = "kit-1.11-full-tar", f"{docker.host}/oras/full:tar"
    copy = [oras, "cp", "--from-oci-layout", f"{golden.LAYOUT}:{name}", "--to-plain-http", reference]
    subprocess.run(copy, capture_output=True, check=True, env=shell.variables())
    with shell.mounted(reference, "--no-allow-other") as mount:
        assert listing(mount.place) == unpacked(name)


@pytest.mark.parametrize("name", ["kit-1.11-full-tar", "kit-1.7-names-tar"])
def test_ls_names_what_kit_unpack_wrote(golden_host: str, shell: Shell, name: str) -> None:
    ran = shell.run("ls", f"{golden_host}/golden/kits:{name}", "--format", "json")
    listed = {
        row["path"]: (row["mode"], {"file": "file", "directory": "dir"}[row["type"]], row["size_bytes"])
        for row in json.loads(ran.stdout)["entries"]
    }
    assert listed == {entry["path"]: (entry["mode"], entry["type"], entry.get("size")) for entry in unpacked(name).values()}


def test_inspect_names_digest_and_layers_as_they_were_pushed(golden_host: str, shell: Shell) -> None:
    name = "kit-1.11-full-tar"
    ran = shell.run("inspect", f"{golden_host}/golden/kits:{name}", "--format", "json")
    document, manifest = json.loads(ran.stdout), json.loads(golden.manifest_bytes(name))
    assert document["digest"] == golden.manifest_digest(name)
    assert sorted((row["digest"], row["size_bytes"]) for row in document["layers"]) == sorted(
        (layer["digest"], layer["size"]) for layer in manifest["layers"]
    )
    text = shell.run("inspect", f"{golden_host}/golden/kits:{name}").stdout
    assert golden.manifest_digest(name) in text
    assert all(layer["digest"] in text for layer in manifest["layers"])


def test_inspect_answers_for_the_model_and_says_where_from(golden_host: str, shell: Shell) -> None:
    ran = shell.run("inspect", f"{golden_host}/golden/kits:modctl-0.2-hf-raw", "--format", "json")
    told = {each["property"]: (each["value"], each["origin"]) for each in json.loads(ran.stdout)["model"]}
    assert told["architecture"] == ("transformer", "config config.architecture")
    assert told["readme"] == ("README.md", "file name")
    assert told["ref.name"] == ("modctl-0.2-hf-raw", "the tag asked for")
    text = shell.run("inspect", f"{golden_host}/golden/kits:modctl-0.2-hf-raw").stdout
    assert re.search(r"^architecture +transformer  \[config config\.architecture\]$", text, re.MULTILINE)
    columns = [match.end() - match.start() for match in re.finditer(r"^\S+(?: \S+)*? {2,}", text, re.MULTILINE)]
    assert len(columns) > 10
    assert len(set(columns)) == 1, text


def test_inspect_lints_on_request(golden_host: str, shell: Shell) -> None:
    clean = shell.run("inspect", f"{golden_host}/golden/kits:modctl-0.2-hf-raw", "--lint")
    assert (clean.exit_code, "lint:" in clean.stdout) == (0, False), clean
    bare = f"{golden_host}/golden/kits:kit-1.11-bare-modelpack"
    told = shell.run("inspect", bare, "--lint")
    assert (told.exit_code, told.stdout.splitlines()[-1][:6]) == (14, "lint: "), told
    assert json.loads(shell.run("inspect", bare, "--lint", "--format", "json").stdout)["findings"] == [
        "config: modelfs.diffIds is None (expected a list that is not empty)"
    ]
    assert shell.run("inspect", bare).exit_code == 0
