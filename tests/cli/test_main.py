"""The way in: a formatter's line goes to the formatter, everything else is ours."""

import gc
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mkfs.cli import main as entrance
from mkfs.cli.app import Verbs, app
from mkfs.service import process
from tests.support.mounting import Shell


@pytest.mark.parametrize(
    "line",
    [
        "-t ext4 /dev/sdx1",
        "-text4 /dev/sdx1",
        "--type ext4 /dev/sdx1",
        "--type=ext4 disk.img",
        "-V -t ext4 /dev/sdx1",
        "/dev/sdx1",
        "-c /dev/sdx1",
    ],
)
def test_a_formatters_line_is_recognised(line: str) -> None:
    assert entrance.is_formatting(line.split())


@pytest.mark.parametrize("line", ["", "mount r/a:b /mnt", "--help", "-h", "--version", "ls registry/dev:1", "version", "-v"])
def test_a_line_of_ours_is_not_taken_for_a_formatters(line: str) -> None:
    assert not entrance.is_formatting(line.split())


def run(tmp_path: Path, formatters: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The entrance in a process of its own, with other formatters than the machine's."""
    entrance = f"from mkfs.cli import main; main.FORMATTERS = {formatters!r}; main.main()"
    program = f"import sys; sys.argv = ['/opt/kitfs', *{arguments!r}]; {entrance}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)


def test_a_formatters_line_reaches_the_formatter_unchanged(tmp_path: Path) -> None:
    formatter = tmp_path / "mkfs"
    formatter.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    formatter.chmod(0o755)
    done = run(tmp_path, (str(tmp_path / "missing"), str(formatter)), "-t", "ext4", "/dev/with space")
    assert (done.returncode, done.stdout) == (7, "-t|ext4|/dev/with space|")


def test_without_a_formatter_nothing_is_touched(tmp_path: Path) -> None:
    done = run(tmp_path, (), "-t", "ext4", "/dev/sdx1")
    assert done.returncode == 2
    assert "nothing was touched" in done.stderr


def test_our_own_script_is_never_called_again_as_the_formatter(tmp_path: Path) -> None:
    program = "import sys; from mkfs.cli import main; main.FORMATTERS = (sys.argv[0],); main.main()"
    script = tmp_path / "mkfs"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    done = subprocess.run([str(script), "-t", "ext4", "/dev/sdx1"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("line", "is_started"),
    [
        ("mount r/a:b /mnt", True),
        ("mount r/a:b", True),
        ("mount -f r/a:b /mnt", False),
        ("mount --help", False),
        ("ls r/a:b", False),
    ],
)
def test_a_mounts_daemon_is_started_before_the_words_are_read(line: str, is_started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Daemon:
        def __enter__(self) -> str:
            seen.append("started")
            return "daemon"

        def __exit__(self, *_: object) -> None:
            seen.append("left")

    def read_words(*, obj: str | None) -> None:
        seen.append(f"read with {obj}")
        raise SystemExit(2)

    monkeypatch.setattr(sys, "argv", ["kitfs", *line.split()])
    monkeypatch.setattr(process, "DaemonProcess", Daemon)
    monkeypatch.setattr(app, "main", read_words)
    monkeypatch.setattr(entrance.gc, "freeze", lambda: None)  # would freeze the tests too
    with pytest.raises(SystemExit):
        entrance.main()
    assert seen == (["started", "read with daemon", "left"] if is_started else ["read with None"])
    assert gc.isenabled()


def test_words_that_make_no_sense_leave_no_daemon(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.run("mount", "--no-such-option").exit_code == 2
    assert shell.processes() == []


def test_every_verb_has_its_line_in_the_list_and_the_list_imports_none(tmp_path: Path) -> None:
    done = run(tmp_path, (), "--help")
    verbs = Verbs().list_commands(click.Context(app))
    assert [verb for verb in verbs if not re.search(rf"^  {verb} +\w", done.stdout, re.MULTILINE)] == []
    program = "import sys, mkfs.cli.app as cli\ntry:\n    cli.app.main(['--help'])\nfinally:\n    print('LOADED', *sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {f"mkfs.cli.{verb}" for verb in verbs} & set(loaded.partition("LOADED")[2].split()) == set()
