"""The helper is put where mount(8) looks, and nothing of anybody else is touched."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.cli.install_helper import NAMES, _check_environment, is_ours, wrapper, writable_by_others
from mkfs.errors import UsageError
from tests.support.mounting import SOURCE, Ran, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


@pytest.fixture
def sbin(tmp_path: Path) -> Path:
    directory = tmp_path / "sbin"
    directory.mkdir()
    return directory


def install(shell: Shell, sbin: Path, *options: str) -> Ran:
    return shell.run("install-helper", "--destination", sbin, *options)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_both_names_are_installed_and_call_this_python_isolated(shell: Shell, sbin: Path) -> None:
    ran = install(shell, sbin)
    assert (ran.exit_code, ran.stdout.splitlines()) == (0, [f"installed: {sbin / name}" for name in NAMES])
    assert names(sbin) == sorted(NAMES)
    for name in NAMES:
        helper = sbin / name
        assert helper.stat().st_mode & 0o7777 == 0o755
        assert helper.read_text().splitlines()[2] == f'exec {shlex.quote(sys.executable)} -I -m mkfs.cli.mount_helper "$@"'
        bad = subprocess.run([helper, "r/a:b"], env={"PYTHONPATH": "/nowhere"}, capture_output=True, text=True, check=False)
        assert (bad.returncode, bad.stderr.splitlines()[0]) == (1, "Error: expected REF and DIR, got 1 words")


def test_the_mode_does_not_depend_on_the_umask(shell: Shell, sbin: Path) -> None:
    words = [*map(str, shell.words("install-helper", "--destination", sbin))]
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *words], env=shell.variables(), check=True, capture_output=True)
    assert [(sbin / name).stat().st_mode & 0o7777 for name in NAMES] == [0o755, 0o755]


def written(path: Path) -> tuple[int, int]:
    """Which file it is, and when it was written."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_a_second_time_there_is_nothing_to_do(shell: Shell, sbin: Path) -> None:
    install(shell, sbin)
    before = [written(sbin / name) for name in NAMES]
    ran = install(shell, sbin)
    assert (ran.exit_code, ran.stdout) == (0, f"nothing to do: {sbin / NAMES[0]}, {sbin / NAMES[1]} up to date\n")
    assert [written(sbin / name) for name in NAMES] == before


def test_a_helper_of_another_installation_is_brought_up_to_date(shell: Shell, sbin: Path) -> None:
    (sbin / NAMES[0]).write_text(wrapper("/opt/old/bin/python"))
    ran = install(shell, sbin)
    assert ran.stdout.splitlines() == [f"updated: {sbin / NAMES[0]}", f"installed: {sbin / NAMES[1]}"]
    assert sys.executable in (sbin / NAMES[0]).read_text()
    assert names(sbin) == sorted(NAMES)


@pytest.mark.parametrize("option", [(), ("--remove",), ("--dry-run",)])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_ours_is_left_alone_and_so_is_all_beside_it(
    shell: Shell, sbin: Path, option: tuple[str, ...], name: str
) -> None:
    (sbin / name).write_text("#!/bin/sh\necho mine\n")
    ran = install(shell, sbin, *option)
    assert (ran.exit_code, ran.lines[0]) == (2, f"Error: {sbin / name} is there, and not ours"), ran
    assert names(sbin) == [name]
    assert "mine" in (sbin / name).read_text()


def test_a_link_is_not_ours_even_if_it_leads_to_a_helper_of_ours(shell: Shell, sbin: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(wrapper(sys.executable))
    (sbin / NAMES[0]).symlink_to(tmp_path / "elsewhere")
    assert install(shell, sbin).exit_code == 2
    (sbin / NAMES[0]).unlink()
    (sbin / NAMES[0]).symlink_to(tmp_path / "nowhere")
    assert install(shell, sbin).exit_code == 2


def test_a_dry_run_says_it_and_does_nothing(shell: Shell, sbin: Path) -> None:
    ran = install(shell, sbin, "--dry-run")
    assert ran.stdout.splitlines() == [f"would be installed: {sbin / name}" for name in NAMES]
    assert names(sbin) == []
    install(shell, sbin)
    ran = install(shell, sbin, "--remove", "--dry-run")
    assert ran.stdout.splitlines() == [f"would be removed: {sbin / name}" for name in NAMES]
    assert names(sbin) == sorted(NAMES)


def test_it_is_removed_again_once(shell: Shell, sbin: Path) -> None:
    install(shell, sbin)
    (sbin / NAMES[1]).write_text(wrapper("/opt/old/bin/python"))  # of whatever installation
    ran = install(shell, sbin, "--remove")
    assert (ran.exit_code, ran.stdout.splitlines()) == (0, [f"removed: {sbin / name}" for name in NAMES])
    assert names(sbin) == []
    ran = install(shell, sbin, "--remove")
    assert (ran.exit_code, ran.stdout) == (0, f"nothing to do: {sbin / NAMES[0]}, {sbin / NAMES[1]} not there\n")


def test_a_directory_that_is_not_there_is_said(shell: Shell, tmp_path: Path) -> None:
    ran = install(shell, tmp_path / "missing")
    assert (ran.exit_code, len(ran.lines) <= 3) == (2, True)


def test_without_the_right_to_write_it_is_said_who_has_it(shell: Shell, sbin: Path) -> None:
    around = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.geteuid() == 0 else ()
    sbin.chmod(0o555)
    ran = shell.run("install-helper", "--destination", sbin, around=around)
    assert ran.exit_code == 2
    assert ran.lines[1:] == ["  run it as root"]
    assert names(sbin) == []


def test_a_python_that_finds_mkfs_only_by_a_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    outside = sys._base_executable  # of no virtual environment
    assert subprocess.run([outside, "-c", "import mkfs"], check=False).returncode == 0
    with pytest.raises(UsageError, match="not installed for everybody"):
        _check_environment(outside)


def test_a_python_with_a_space_in_its_path_can_be_called(tmp_path: Path) -> None:
    python = tmp_path / "a b's" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    python.chmod(0o755)
    helper = tmp_path / "helper"
    helper.write_text(wrapper(str(python)))
    said = subprocess.run(["sh", helper, "a b", "*"], capture_output=True, text=True, check=True).stdout
    assert said == "-I|-m|mkfs.cli.mount_helper|a b|*|"


@pytest.mark.parametrize("content", [b"", b"\n", b"#!/bin/sh\n", b"#!/bin/sh\n# Written by somebody else\n", b"\x7fELF\0\0"])
def test_ours_is_known_by_its_second_line(content: bytes) -> None:
    assert not is_ours(content)
    assert is_ours(wrapper("/any/python").encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_others_may_change_is_told_apart(tmp_path: Path) -> None:
    mine, everybodys, anothers = (tmp_path / name for name in ("mine", "everybodys", "anothers"))
    for path in (mine, everybodys, anothers):
        path.mkdir(mode=0o755)
        os.chown(path, 0, 0)
    everybodys.chmod(0o777)
    os.chown(anothers, 1000, 1000)
    assert list(writable_by_others((mine, everybodys, anothers))) == [everybodys, anothers]
