"""The words around a mount: aliases, the config file, both names of the command, and a formatter's command line passed on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mkfs import __version__
from mkfs.cli.main import FORMATTERS
from tests.support.mounting import Ran, Shell

pytestmark = pytest.mark.registry

USAGE = 2
FORMATTER = next((path for path in FORMATTERS if os.access(path, os.X_OK)), None)


@pytest.mark.fuse
def test_an_alias_of_the_config_file_stands_for_a_registry(golden_host: str, shell: Shell) -> None:
    shell.config.write_text(f'[alias]\nregistry = "{golden_host}"\n')
    with shell.mounted("registry/golden/kits:kit-1.11-simple-tar") as mount:
        assert mount.path("README.md").is_file()
        assert mount.ran.stderr.startswith(f"{golden_host}/golden/kits:kit-1.11-simple-tar@sha256:")


def test_an_alias_may_stand_for_a_path_in_a_registry(golden_host: str, shell: Shell) -> None:
    shell.config.write_text(f'[alias]\nours = "{golden_host}/golden"\n')
    ran = shell.run("ls", "ours/kits:kit-1.11-simple-tar")
    assert (ran.exit_code, ran.stdout.splitlines()) == (0, ["Kitfile", "LICENSE", "README.md", "model.safetensors"]), ran


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("aliases = 1\n", "aliases"),
        ("[alias]\nregistry = 5000\n", "alias"),
        ("[alias\n", "TOML"),
    ],
)
def test_a_config_file_that_is_off_is_refused_by_name(shell: Shell, text: str, named: str) -> None:
    shell.config.write_text(text)
    ran = shell.run("ls", "localhost:5000/llama:7b")
    assert (ran.exit_code, ran.stdout, len(ran.lines) <= 3) == (USAGE, "", True), ran
    assert ran.stderr.startswith("Error: ")
    assert named in ran.stderr
    assert str(shell.config) in ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["mount"],
        ["mount", "localhost:5000/llama:7b"],
        ["mount", "--no-such-option"],
        ["no-such-verb"],
        ["ls", "--format", "xml", "x"],
    ],
)
def test_words_that_make_no_command_end_with_2(shell: Shell, words: list[str]) -> None:
    ran = shell.run(*words)
    assert (ran.exit_code, ran.stdout) == (USAGE, ""), ran
    assert ran.lines[0].startswith("Error: ")
    assert len(ran.lines) <= 3
    assert "Traceback" not in ran.stderr


def test_help_names_every_verb_and_exit_code(shell: Shell) -> None:
    ran = shell.run("--help")
    assert ran.exit_code == 0
    assert [verb for verb in ("mount", "umount", "ls", "inspect", "version") if f"\n  {verb} " not in ran.stdout] == []
    assert [code for code in (10, 11, 12, 13, 14, 20, 21, 22, 23) if f"{code} " not in ran.stdout] == []


def installed(shell: Shell, name: str, *arguments: str) -> Ran:
    """Runs a console script beside this interpreter."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip(f"needs {name} installed: run scripts/install --test")
    done = subprocess.run([program, *arguments], env=shell.variables(), capture_output=True, text=True, check=False, timeout=30)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["mkfs", "kitfs"])
def test_both_names_are_installed(shell: Shell, name: str) -> None:
    ran = installed(shell, name, "version")
    assert ran.exit_code == 0
    assert ran.stdout.startswith(f"kitfs (mkfs) {__version__}\n")


@pytest.mark.skipif(FORMATTER is None, reason="needs util-linux's mkfs")
def test_a_formatters_command_line_reaches_the_formatter(shell: Shell) -> None:
    ran = installed(shell, "mkfs", "-V")
    assert ran == Ran(0, subprocess.run([FORMATTER, "-V"], capture_output=True, text=True, check=True).stdout, "")
    assert "util-linux" in ran.stdout


@pytest.mark.skipif(FORMATTER is None or not shutil.which("mkfs.ext4"), reason="needs util-linux's mkfs and mkfs.ext4")
@pytest.mark.parametrize("words", [["-t", "ext4"], ["--type=ext4"], ["--type", "ext4"]])
def test_a_file_system_is_made_as_if_we_were_not_there(shell: Shell, words: list[str]) -> None:
    image = shell.home / "image"
    with image.open("wb") as file:
        file.truncate(2**20)
    ran = shell.run(*words, str(image))
    assert ran.exit_code == 0, ran
    assert image.read_bytes()[0x438:0x43A] == b"\x53\xef"  # ext4's magic number
