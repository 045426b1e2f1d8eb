"""Before and after a mount: what is refused with which error, and what is cleared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.errors import Busy, FuseUnavailable, MkfsError, MountpointUnusable
from mkfs.fuse.kernel import check_fuse, check_mountpoint, clear_dead_mount, resolve, unmount
from mkfs.fuse.mountinfo import mount_at
from tests.support.fuse_mount import PATIENCE_SECONDS, ROOT, served


def test_a_machine_without_fuse_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FuseUnavailable, match="No such file") as caught:
        check_fuse(tmp_path / "fuse")
    assert "modprobe fuse" in caught.value.hint
    assert len(caught.value.lines()) == 3


def test_other_systems_are_told_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(FuseUnavailable, match="needs Linux"):
        check_fuse()


def test_users_need_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FuseUnavailable, match="fusermount3 not found"):
        check_fuse(Path("/dev/null"))


def test_a_missing_pyfuse3_is_told_before_anything_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfuse3", None)
    with pytest.raises(FuseUnavailable, match="pyfuse3 is not installed"):
        check_fuse(Path("/dev/null"))


def test_everything_but_mounting_works_without_pyfuse3() -> None:
    program = "import sys; sys.modules['pyfuse3'] = None; import mkfs.fuse.kernel, mkfs.fuse.connection, mkfs.vfs.model_fs"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    check_mountpoint(tmp_path)


def test_places_that_cannot_be_mounted_on_say_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, reason in (("missing", "No such file"), ("file", "Not a directory"), (".", "not empty")):
        with pytest.raises(MountpointUnusable, match=reason):
            check_mountpoint(tmp_path / place)


def test_any_mount_is_busy(tmp_path: Path) -> None:
    with pytest.raises(Busy, match="already a mount point"):
        check_mountpoint(Path("/proc"))


def test_only_our_own_mounts_are_unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"40 27 0:39 / {tmp_path} rw - fuse.sshfs host:/ rw\n")  # a real one might get unmounted by a bug
    monkeypatch.setattr("mkfs.fuse.mountinfo._MOUNTINFO", table)
    with pytest.raises(MountpointUnusable, match="not a mount of mkfs"):
        unmount(tmp_path)
    with pytest.raises(MountpointUnusable, match="not mounted"):
        unmount(tmp_path / "elsewhere")


def test_a_place_is_found_through_links_and_relative_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert resolve(Path("link")) == resolve(Path("real/../link")) == tmp_path / "real"
    assert resolve(Path("real/..")) == tmp_path
    assert resolve(Path("/")) == Path("/")


@pytest.mark.fuse
def test_a_living_mount_is_busy_and_is_not_cleared(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        with pytest.raises(Busy) as caught:
            check_mountpoint(server.path)
        assert "mkfs umount" in caught.value.hint
        assert not clear_dead_mount(server.path)
        assert (server.path / "config.json").exists()


@pytest.mark.fuse
def test_a_stuck_mount_is_busy_and_does_not_hold_up_whoever_asks(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        server.stop()
        with pytest.raises(Busy):
            check_mountpoint(server.path)
        unmount(server.path)
        assert mount_at(server.path) is None


@pytest.mark.fuse
def test_a_dead_mount_is_found_and_cleared_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.fuse.kernel._ANSWER_SECONDS", PATIENCE_SECONDS)  # to start who asks may take longer than usual
    (tmp_path / "link").symlink_to("model")
    with served(tmp_path / "model") as server:
        server.kill()
        check_mountpoint(tmp_path / "link")
        assert clear_dead_mount(tmp_path / "link")
        assert mount_at(server.path) is None
        assert not clear_dead_mount(server.path)


@pytest.mark.fuse
def test_a_mount_in_use_is_unmounted_only_lazily(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        with (server.path / "config.json").open():
            with pytest.raises(Busy, match="in use"):
                unmount(server.path)
            assert mount_at(server.path) is not None
            unmount(server.path, lazy=True)
            assert mount_at(server.path) is None
        assert server.end() == 0


@pytest.mark.fuse
def test_users_unmount_with_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "model") as server:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with (server.path / "config.json").open(), pytest.raises(Busy, match="in use"):
            unmount(server.path)
        unmount(server.path)
        monkeypatch.undo()
        assert server.end() == 0


@pytest.mark.fuse
def test_the_helpers_own_words_reach_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "model") as server:
        helper = tmp_path / "fusermount3"
        helper.write_text("#!/bin/sh\necho fusermount3: not today >&2\nexit 1\n")
        helper.chmod(0o755)
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(MkfsError, match="not today"):
            unmount(server.path)
        monkeypatch.undo()
