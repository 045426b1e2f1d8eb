"""The life of a mount: how it starts, who may end it, what a crash leaves behind."""

import errno
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mkfs.fuse.kernel import unmount
from mkfs.fuse.mountinfo import mount_at
from tests.support.fuse_mount import PATIENCE_SECONDS, served, start
from tests.support.fuse_server import CONFIG
from tests.support.namespaces import NOBODY, as_nobody, with_fuse_for, without_right_to_mount

pytestmark = pytest.mark.fuse


def refused(path: Path, log: Path, *before: str, **options: object) -> str:
    """What a process says that can't mount."""
    process = start(path, log, before=before, **options)
    with process:
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == ""
    return log.read_text().strip().splitlines()[-1]


def test_a_stopped_mount_is_gone_at_once_though_files_are_open_and_readers_wait(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        file = os.open(server.path / "slow.bin", os.O_RDONLY)
        errors: list[OSError] = []

        def read() -> None:
            try:
                os.pread(file, 1, 0)
            except OSError as error:
                errors.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        server.ask("besieged 1")
        server.ask("stop")
        assert server.end() == 0
        reader.join(PATIENCE_SECONDS)
        with suppress(OSError):
            os.close(file)
        assert len(errors) == 1
        assert mount_at(server.path) is None
        assert not list(server.path.iterdir())


def test_unmounting_from_outside_ends_the_process_well(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        unmount(server.path)
        assert server.end() == 0


def test_a_namespace_that_a_test_made_keeps_no_mount_of_another_one(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        words = [*with_fuse_for(0o666), "sh", "-euc", "echo ready; read -r _"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as beside:
            assert beside.stdout is not None
            assert beside.stdout.readline() == b"ready\n"
            unmount(server.path)
            assert server.end() == 0
            beside.communicate(b"\n", PATIENCE_SECONDS)


def test_an_inner_error_leaves_a_mount_that_refuses_and_no_empty_directory(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        server.process.stdin.write("crash\n")
        server.process.stdin.flush()
        assert server.end() == 1
        with pytest.raises(OSError, match="not connected"):
            list(server.path.iterdir())


def test_after_kill_every_path_refuses_and_the_next_mount_takes_the_place(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        assert (server.path / "config.json").read_bytes() == CONFIG
        with (server.path / "weights.bin").open("rb") as left_open:
            server.kill()
            for ask in (os.listdir, os.statvfs):
                with pytest.raises(OSError, match="not connected") as caught:
                    ask(server.path)
                assert caught.value.errno == errno.ENOTCONN
            with served(server.path) as again:
                assert (again.path / "config.json").read_bytes() == CONFIG
                assert "clearing the dead mount of localhost:5000/llama@sha256:0, test" in again.log.read_text()
                with pytest.raises(OSError, match="not connected"):
                    os.pread(left_open.fileno(), 1, 3 * 1024 * 1024)


def test_a_dead_mount_does_not_go_on_looking_alive(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        (server.path / "sub" / "run.sh").stat()
        server.kill()
        until_it_refuses = 'while test -e "$0"; do sleep 0.1; done'
        subprocess.run(["sh", "-c", until_it_refuses, server.path], check=True, timeout=PATIENCE_SECONDS)
        with pytest.raises(OSError, match="not connected"):
            (server.path / "sub" / "run.sh").stat()


def test_a_second_mount_at_the_same_place_is_refused(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        assert refused(server.path, tmp_path / "second.log").startswith("Busy 22: ")
        assert (server.path / "config.json").read_bytes() == CONFIG


def test_a_process_that_may_not_mount_says_so_in_three_lines(tmp_path: Path) -> None:
    words = refused(tmp_path, tmp_path.with_suffix(".log"), *without_right_to_mount())
    assert words.startswith(f"FuseUnavailable 21: cannot mount on {tmp_path} | ")
    assert "Operation not permitted" in words
    assert "--cap-add SYS_ADMIN" in words
    assert mount_at(tmp_path) is None


@pytest.fixture
def users_place() -> Iterator[Path]:
    """An empty directory that belongs to nobody, in one that all can reach."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        path = Path(place) / "model"
        path.mkdir()
        os.chown(path, NOBODY, NOBODY)
        yield path


AS_A_USER = (*with_fuse_for(0o666), *as_nobody())


def test_a_user_mounts_with_the_helper_and_is_told_what_is_missing(users_place: Path) -> None:
    with served(users_place, before=AS_A_USER) as server:
        there = ("nsenter", f"--target={server.process.pid}", "--mount", *as_nobody())
        done = subprocess.run(
            [*there, "cat", users_place / "config.json"], capture_output=True, check=True, timeout=PATIENCE_SECONDS
        )
        assert done.stdout == CONFIG
        assert server.granted["max_background"] is None
        assert "WARNING mkfs.fuse.connection one slow layer can hold up every reader" in server.log.read_text()
        server.ask("stop")
        assert server.end() == 0


def test_a_user_who_shares_is_sent_to_fuse_conf(users_place: Path) -> None:
    words = refused(users_place, users_place.with_suffix(".log"), *AS_A_USER, shared=True)
    assert words.startswith("FuseUnavailable 21: ")
    assert "add the line user_allow_other to /etc/fuse.conf" in words


def test_a_place_of_somebody_else_is_refused_to_a_user(users_place: Path) -> None:
    users_place.chmod(0o755)
    os.chown(users_place, 0, 0)
    assert refused(users_place, users_place.with_suffix(".log"), *AS_A_USER).startswith("MountpointUnusable 20: ")


def test_a_user_who_may_not_open_the_device_is_told(users_place: Path) -> None:
    words = refused(users_place, users_place.with_suffix(".log"), *with_fuse_for(0o600), *as_nobody())
    assert words.startswith("FuseUnavailable 21: cannot open /dev/fuse: Permission denied")
