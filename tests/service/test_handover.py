"""The socket at which a mount is offered: whoever sees it can connect."""

import os
import socket
from pathlib import Path

import pytest

from mkfs.errors import UsageError
from mkfs.fuse.handover import Handed
from mkfs.service.handover import _listening


@pytest.fixture
def wanted(tmp_path: Path) -> Handed:
    return Handed(tmp_path, os.getuid(), os.getgid())


def test_the_socket_is_there_only_once_it_answers(wanted: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen, real = tmp_path / "socket", [], os.chown

    def chown(place: Path, uid: int, gid: int) -> None:
        seen.append((path.exists(), place.stat().st_mode & 0o777))
        real(place, uid, gid)

    monkeypatch.setattr(os, "chown", chown)
    with _listening(path, wanted), socket.socket(socket.AF_UNIX) as client:
        assert seen == [(False, 0o600)]
        client.connect(os.fspath(path))
        assert (os.listdir(tmp_path), path.stat().st_mode & 0o777) == (["socket"], 0o600)
    assert not os.listdir(tmp_path)


def test_the_socket_of_a_process_that_was_killed_is_replaced(wanted: Handed, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    for left in (path, tmp_path / f".{os.getpid()}"):  # one that had come so far, one that had not
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(os.fspath(left))
    with _listening(path, wanted), socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))
        assert os.listdir(tmp_path) == ["socket"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a file", "Address already in use"),
        ("a link", "Address already in use"),
        ("missing/socket", "No such file or directory"),
    ],
)
def test_what_is_no_socket_is_not_replaced(wanted: Handed, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "a file").write_bytes(b"kept")
    (tmp_path / "a link").symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"cannot listen at {tmp_path / name}: {reason}"), _listening(tmp_path / name, wanted):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a file", "a link"]
    assert (tmp_path / "a file").read_bytes() == b"kept"
