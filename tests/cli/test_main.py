"""The way in: a formatter's line goes to the formatter, everything else is ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.cli import main as entrance


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


def test_start_up_loads_nothing_heavy() -> None:
    heavy = {"trio", "httpx2", "pyfuse3", "yaml", "asyncio", "ssl"}
    program = f"import sys, mkfs.cli.app, mkfs.cli.mount; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
