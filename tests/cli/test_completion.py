"""The tab key: asked through click as a shell would ask, and through bash itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from mkfs.cli.app import Verbs, app
from tests.support.mounting import SOURCE

TABLE = (
    rb"1 0 8:1 / / rw - ext4 /dev/sda1 rw" + b"\n"
    rb"2 1 0:50 / /mnt/llama\0407b ro - fuse.kitfs ghcr.io/acme/llama:7b@sha256:aa ro" + b"\n"
    rb"3 1 0:51 / /mnt/other ro - fuse.kitfs ghcr.io/acme/other:1@sha256:bb ro" + b"\n"
    rb"4 1 0:52 / /mnt/theirs ro - fuse.sshfs somebody ro" + b"\n"
)


def offered(*words: str) -> list[str]:
    """What is offered for the last word."""
    return [item.value for item in BashComplete(app, {}, "kitfs", "_KITFS_COMPLETE").get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(TABLE)
    monkeypatch.setattr("mkfs.fuse.mountinfo._MOUNTINFO", table)


def test_verbs_are_offered_and_none_is_imported_for_it() -> None:
    assert offered("") == Verbs().list_commands(None)  # type: ignore[arg-type] # it does not look at it
    assert offered("c") == ["cache", "config", "completion"]
    program = "from tests.cli.test_completion import offered; import sys; offered('m'); print(*sys.modules)"
    from_root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=from_root)
    assert "mkfs.cli.mount" not in done.stdout.split()


def test_verbs_below_verbs_are_offered() -> None:
    assert offered("cache", "") == ["clear", "info", "prune", "verify"]
    assert offered("config", "s") == ["show"]


def test_flags_and_choices_are_offered() -> None:
    assert offered("mount", "--cache-") == ["--cache-dir", "--cache-size"]
    assert offered("mount", "--no-f") == ["--no-fill"]
    assert offered("mount", "--prefetch", "") == ["none", "sequential", "model"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]


def test_paths_are_left_to_the_shell() -> None:
    completer = BashComplete(app, {}, "kitfs", "_KITFS_COMPLETE")
    kinds = {
        tuple(words): [item.type for item in completer.get_completions(words, "/e")]
        for words in (
            ["mount", "a/b:c"],
            ["ls", "--cache-dir"],
            ["ls", "--ca-file"],
            ["ls", "--hosts-dir"],
            ["index", "show"],
        )
    }
    assert kinds == {
        ("mount", "a/b:c"): ["dir"],
        ("ls", "--cache-dir"): ["dir"],
        ("ls", "--ca-file"): ["file"],
        ("ls", "--hosts-dir"): ["dir"],
        ("index", "show"): ["file"],
    }


@pytest.mark.usefixtures("mounts")
def test_our_mounts_are_offered_where_a_mount_is_meant() -> None:
    assert offered("umount", "") == ["/mnt/llama 7b", "/mnt/other"]
    assert offered("umount", "--lazy", "/mnt/o") == ["/mnt/other"]
    assert offered("umount", "/srv") == []
    completer = BashComplete(app, {}, "kitfs", "_KITFS_COMPLETE")
    assert [(item.value, item.type) for item in completer.get_completions(["umount"], "mnt")] == [("mnt", "dir")]


def test_what_is_off_neither_stops_a_shell_nor_writes_into_its_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("no = [toml")
    monkeypatch.setenv("MKFS_CONFIG", str(config))
    monkeypatch.setenv("MKFS_WHAT", "1")
    assert offered("mount", "--umas") == ["--umask"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("shell", "mark"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef kitfs"), ("fish", "complete ")])
def test_each_shell_gets_its_script(shell: str, mark: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell], prog_name="kitfs")
    assert (done.exit_code, mark in done.stdout, "_KITFS_COMPLETE" in done.stdout) == (0, True, True), done.output


@pytest.mark.parametrize(("called", "completed"), [("mkfs", "mkfs"), ("kitfs", "kitfs"), ("python -m mkfs", "kitfs")])
def test_the_name_that_is_completed_is_the_one_that_was_called(called: str, completed: str) -> None:
    done = CliRunner().invoke(app, ["completion", "fish"], prog_name=called)
    assert f"--command {completed} " in done.stdout


def test_another_shell_is_no_shell_of_ours() -> None:
    assert CliRunner().invoke(app, ["completion", "tcsh"]).exit_code == 2


BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("kitfs", "res"), ["resolve"]),
        (("kitfs", "mount", "--tag"), ["--tag-ttl"]),
        (("kitfs", "inspect", "x", "--format", ""), ["text", "json"]),
        (("kitfs", "cache", "p"), ["prune"]),
    ],
)
def test_bash_completes_as_at_a_prompt(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    program = tmp_path / "kitfs"
    program.write_text(f"#!{sys.executable} -P\nfrom mkfs.cli.main import main\nmain()\n")  # as an installer writes it
    program.chmod(0o755)
    # What readline does: the function that `complete -p` names is called with the words in COMP_WORDS.
    script = """
        source <(kitfs completion bash) || exit 1
        set -- "$@"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        function=$(complete -p kitfs | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function kitfs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path)}
    done = subprocess.run(
        [BASH or "bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == expected, done.stderr
