"""The kernel's knobs where they can't be turned all the way. That they are turned at all, real mounts show (`test_mount`)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.fuse import connection
from mkfs.fuse.connection import Tuning, tune


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the kernel shows of the mount 0:39, as plain files. The real control files are out of reach."""

    def refuse() -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("mkfs.fuse.connection._mount_fusectl", refuse)
    monkeypatch.setattr("mkfs.fuse.connection._FUSECTL", tmp_path)
    monkeypatch.setattr("mkfs.fuse.connection._BDI", tmp_path)
    for name, value in (("39/max_background", 12), ("39/congestion_threshold", 9), ("0:39/read_ahead_kb", 128)):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{value}\n")
    before = set(os.listdir("/proc/self/fd"))
    yield tmp_path
    assert set(os.listdir("/proc/self/fd")) <= before


def limit(monkeypatch: pytest.MonkeyPatch, highest: int) -> None:
    """Numbers above `highest` are refused, as the kernel does for users (fuse.max_user_bgreq)."""
    write = connection._write

    def limited(directory: int, name: str, text: str) -> None:
        if int(text) > highest:
            raise OSError(22, "Invalid argument")
        write(directory, name, text)

    monkeypatch.setattr("mkfs.fuse.connection._write", limited)


def test_all_is_raised(kernel: Path) -> None:
    assert tune("0:39") == Tuning(512, 384, 1024)
    assert (kernel / "39" / "max_background").read_text() == "512"


def test_what_somebody_set_higher_stays(kernel: Path) -> None:
    (kernel / "39" / "max_background").write_text("4096\n")
    (kernel / "0:39" / "read_ahead_kb").write_text("16384\n")
    assert tune("0:39") == Tuning(4096, 384, 16384)


@pytest.mark.logs(r"one slow layer can hold up every reader of this mount: max_background is 256 \(wanted 512\)")
def test_a_user_gets_as_near_as_the_limit_lets_him_and_is_told(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 334)
    assert tune("0:39") == Tuning(256, 192, 1024)


@pytest.mark.logs("max_background is 12")
def test_a_limit_below_the_default_changes_nothing(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 5)
    assert tune("0:39") == Tuning(12, 9, 1024)


@pytest.mark.logs("max_background is at the kernel's default")
def test_a_mount_that_shows_nothing_is_served_all_the_same(kernel: Path) -> None:
    assert tune("0:40") == Tuning(None, None, None)
