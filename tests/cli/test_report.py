"""What a person sees of an error: three lines at most, the right exit code, a traceback only when asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mkfs.cli.app import app
from mkfs.cli.report import reported
from mkfs.cli.settings.options import setting_options
from mkfs.errors import Busy, IntegrityError, NotAuthorised, printable


def failing(error: BaseException) -> click.Command:
    @click.command()
    @setting_options("umount")
    def command(**_words: object) -> None:
        raise error

    return reported(command)


def test_an_error_of_ours_is_its_lines_and_its_code() -> None:
    done = CliRunner().invoke(failing(Busy("what", "where", "what to do")), [])
    assert done.exit_code == 22
    assert done.stderr == "Error: what\n  where\n  what to do\n"
    assert done.stdout == ""


def test_an_error_from_several_tasks_is_one() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("more", [IntegrityError("wrong bytes")])])
    done = CliRunner().invoke(failing(group), [])
    assert (done.exit_code, done.stderr) == (13, "Error: wrong bytes\n")


def test_a_defect_says_what_it_is_without_a_traceback() -> None:
    done = CliRunner().invoke(failing(ZeroDivisionError("by zero")), [])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0] == "Error: unexpected: ZeroDivisionError: by zero"
    assert "Traceback" not in done.stderr


def test_twice_verbose_shows_the_traceback_before_the_same_words_and_code() -> None:
    done = CliRunner().invoke(failing(Busy("what", "where")), ["-vv"])
    assert (done.exit_code, done.stdout) == (22, "")
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("mkfs.errors.Busy: what (where)\nError: what\n  where\n")


def test_twice_verbose_a_defect_has_its_traceback_too() -> None:
    done = CliRunner().invoke(failing(ZeroDivisionError("by zero")), ["-vv"])
    assert (done.exit_code, "Traceback" in done.stderr) == (1, True)
    assert done.stderr.endswith("  this is a defect: report it with the traceback\n")


def test_twice_verbose_a_whole_command_ends_with_its_errors_code(tmp_path: Path) -> None:
    words = ["ls", "localhost:1/a:b", "--plain-http", "-vv", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([sys.executable, "-P", "-m", "mkfs", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (12, True)


def test_under_sudo_a_refusal_says_whose_credentials_were_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = NotAuthorised("refused", "registry.test", "docker login registry.test")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert "sudo" not in CliRunner().invoke(failing(refused), []).stderr
    monkeypatch.setenv("SUDO_USER", "alice")
    done = CliRunner().invoke(failing(refused), [])
    assert done.stderr.splitlines()[2] == "  docker login registry.test (under sudo these are root's credentials, not alice's)"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("a nursery", [KeyboardInterrupt()])], ids=["alone", "in a group"]
)
def test_ctrl_c_is_no_error_message(error: BaseException) -> None:
    done = CliRunner().invoke(failing(error), [])
    assert (done.exit_code, done.stderr) == (130, "")


@pytest.mark.parametrize("verb", ["mount", "umount", "ls", "inspect", "warmup", "version"])
def test_every_verb_explains_itself(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "--help"])
    assert done.exit_code == 0
    assert verb in done.stdout


def test_the_help_of_all_lists_the_exit_codes() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    for code in ("10 not found", "13 integrity", "20 mountpoint", "23 cache"):
        assert code in text


@pytest.mark.parametrize(
    "line",
    [
        ["mount", "r/a", "/mnt"],
        ["ls", "a:b"],
        ["nothing"],
        ["ls"],
        ["mount", "h:1/a:b", "/", "--umask", "9"],
        ["ls", "h:1/a:b", "--no"],
    ],
)
def test_wrong_words_are_usage(line: list[str]) -> None:
    assert CliRunner().invoke(app, line, env={"MKFS_CONFIG": ""}).exit_code == 2


def test_wrong_words_get_three_lines_at_most_and_no_usage_text() -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "mkfs", "ls", "--no"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: No such option")
    assert len(done.stderr.splitlines()) <= 3


@pytest.mark.parametrize(("cache", "mountpoint"), [("m", "m"), ("m/cache", "m"), ("cache", "cache/m")])
@pytest.mark.fuse
def test_cache_and_mountpoint_inside_one_another_are_refused_and_nothing_is_made(
    tmp_path: Path, cache: str, mountpoint: str
) -> None:
    (tmp_path / mountpoint).mkdir(parents=True)
    words = ["mount", "localhost:1/a:b", str(tmp_path / mountpoint), "--cache-dir", str(tmp_path / cache)]
    done = CliRunner().invoke(app, words, env={"MKFS_CONFIG": ""})
    assert done.exit_code == 20
    assert "lie in one another" in done.stderr
    assert list((tmp_path / mountpoint).iterdir()) == []


def test_whoever_reads_may_stop_early() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([sys.executable, "-P", "-m", "mkfs", "version"], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reference_without_a_tag_gets_a_hint() -> None:
    done = CliRunner().invoke(app, ["ls", "localhost:1/llama"])
    assert done.exit_code == 2
    assert ":latest" in done.stderr


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 名", "plain é 名"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("bad\udcff", "bad\\xff"),
        ("rtl\u202e", "rtl\\u202e"),
    ],
)
def test_names_cannot_fool_a_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_version_names_what_we_stand_on() -> None:
    text = CliRunner().invoke(app, ["version"]).stdout
    assert all(name in text for name in ("kitfs", "Python", "pyfuse3", "trio"))
    assert json.dumps(text)
