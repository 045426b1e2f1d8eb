"""Unmounting where it cannot be told that a process is a daemon of ours: readers are freed, and nobody is ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.errors import MkfsError
from mkfs.fuse import unmounting
from mkfs.fuse.mountinfo import Mount, mount_at, parse_mountinfo
from mkfs.fuse.processes import daemon_of
from tests.support.fuse_mount import PATIENCE_SECONDS, served
from tests.support.mounting import state_of, wait_for

READ = "import mmap, os, sys; os.preadv(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 1 << 20)], 0)"
TABLE = b"""\
40 27 0:39 / /one rw - fuse.kitfs a@sha256:0 ro,user_id=1000,group_id=1000
41 40 0:40 / /one/inside rw - fuse.kitfs b@sha256:0 ro,user_id=1000
42 27 0:41 / /two rw - fuse.kitfs c@sha256:0 ro,user_id=0
43 27 0:42 / /three rw - fuse.sshfs host:/ rw,user_id=1000
44 27 0:43 / /one rw - fuse.kitfs d@sha256:0 ro,user_id=1000
"""


def test_all_of_a_user_are_those_of_ours_the_last_mounted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_bytes(TABLE)
    monkeypatch.setattr("mkfs.fuse.mountinfo._MOUNTINFO", tmp_path / "mountinfo")
    assert unmounting.places_of_user(1000) == [Path("/one"), Path("/one/inside"), Path("/one")]
    assert unmounting.places_of_user(0) == [Path("/two")]


@pytest.mark.parametrize(("options", "user"), [("ro", None), ("ro,user_id=", None), ("user_id=x", None), ("ro,user_id=7", 7)])
def test_who_mounted_is_an_option_of_the_mount(options: str, user: int | None) -> None:
    (mount,) = parse_mountinfo(b"40 27 0:39 / /one rw - fuse.kitfs a " + options.encode() + b"\n")
    assert (mount.user, mount.connection) == (user, "39")


@pytest.mark.fuse
def test_the_connection_of_a_stopped_process_is_aborted_and_nobody_unknown_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mkfs.fuse.kernel._ANSWER_SECONDS", PATIENCE_SECONDS)  # to start who asks may take longer than usual
    with served(tmp_path / "model") as server:
        with subprocess.Popen([sys.executable, "-c", READ, server.path / "slow.bin"], stderr=subprocess.DEVNULL) as reader:
            server.ask("besieged 1")
            server.stop()
            reader.kill()
            wait_for(lambda: state_of(reader.pid) == "D")
            assert unmounting.unmount_by_force(server.path) == ""
            assert reader.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert mount_at(server.path) is None
        assert state_of(server.process.pid) == "T"  # it is none of ours: it does not call itself so
        server.process.send_signal(signal.SIGCONT)
        assert server.end() == 0


@pytest.mark.fuse
def test_who_can_neither_abort_nor_find_the_daemon_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "model") as server:
        monkeypatch.setattr("mkfs.fuse.unmounting.abort", lambda _device: False)
        with pytest.raises(MkfsError, match="cannot abort") as caught:
            unmounting.unmount_by_force(server.path)
        assert "mount -t fusectl" in caught.value.hint
        assert (server.path / "config.json").exists()


@pytest.mark.fuse
def test_a_process_of_another_connection_is_no_daemon_of_this_one(tmp_path: Path) -> None:
    with served(tmp_path / "nameless") as server:
        mount = mount_at(server.path)
        assert mount is not None
        assert daemon_of(mount) is None
    with served(tmp_path / "model", named=True) as server:
        mount = mount_at(server.path)
        assert mount is not None
        other = Mount("0:1", mount.place, mount.file_system, mount.source, mount.root, mount.options)
        assert daemon_of(other) is None
        daemon = daemon_of(mount)
        assert daemon is not None
        assert (daemon.pid, daemon.stopped, daemon.ended(0)) == (server.process.pid, False, False)
        server.kill()
        assert daemon.ended(PATIENCE_SECONDS)
        daemon.send(signal.SIGKILL)  # reaches nobody, whoever has its number by now
        daemon.close()
