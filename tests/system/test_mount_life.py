"""The life of a mount: ready when its command returns, ended in every way a mount can end, and what is seen of it meanwhile."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Shell, ended, open_files, refusal_of
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

MOUNTPOINT, BUSY = 20, 22
_WAIT_SECONDS = 20
README = b"# a short life\n"


@pytest.fixture(scope="module")
def kit() -> Kit:
    return KitBuilder("life", seed=6).model("weights.bin", 3 * MIB + 1).docs("README.md", README).build()


@pytest.fixture(scope="module")
def reference(pusher: Pusher, kit: Kit) -> str:
    return pusher.push("life/kit", "1", kit.manifest, kit.blobs)


def test_the_directory_can_be_read_as_soon_as_mount_returns(reference: str, shell: Shell) -> None:
    place = shell.new_place()
    try:
        command = 'mount_it() { "$@"; }; mount_it "$@" && ls "$PLACE" && cat "$PLACE/README.md"'
        environment = {**shell.variables(), "PLACE": str(place)}
        words = ["sh", "-c", command, "sh", *shell.words("mount", reference, place)]
        done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=_WAIT_SECONDS)
        assert done.stdout == b"Kitfile\nREADME.md\nweights.bin\n" + README
    finally:
        shell.run("umount", place)


def test_mount_says_what_it_mounted_and_so_do_the_log_and_the_mount_table(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        name = f"{reference}@{kit.manifest_digest}"
        assert mount.ran.stdout == ""
        assert mount.ran.lines == [f"{name} mounted at {mount.place}"]
        assert f" mounted {name} at {mount.place}, pid {mount.pid}\n" in mount.log_file.read_text()
        assert (mount.entry.source, mount.entry.file_system) == (name, "fuse.kitfs")
        flags = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV
        assert os.statvfs(mount.place).f_flag & flags == flags
        assert os.stat(mount.log_file).st_mode & 0o777 == 0o600
        mount.umount()
        assert f"unmounted {mount.place}\n" in mount.log_file.read_text()


def test_the_daemon_keeps_nothing_of_whoever_started_it(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert os.readlink(f"/proc/{mount.pid}/cwd") == "/"
        assert os.getsid(mount.pid) == mount.pid
        held = {number: os.readlink(f"/proc/{mount.pid}/fd/{number}") for number in range(3)}
        assert held == {0: "/dev/null", 1: "/dev/null", 2: str(mount.log_file)}


@pytest.mark.parametrize("descriptors", ["7</dev/zero", "<&-", ">&-", "<&- >&-"])
def test_what_the_command_has_open_or_lacks_is_nothing_to_the_daemon(reference: str, shell: Shell, descriptors: str) -> None:
    place = shell.new_place()
    try:
        assert shell.run("mount", reference, place, around=["sh", "-c", f'exec "$@" {descriptors}', "sh"]).exit_code == 0
        assert (place / "README.md").read_bytes() == README
        (daemon,) = shell.processes()
        opened = open_files(daemon)
        assert [opened[number] for number in range(3)] == ["/dev/null", "/dev/null", str(shell.home / f"{place.name}.log")]
        assert "/dev/zero" not in opened.values()
    finally:
        shell.run("umount", place)


def test_a_quiet_mount_says_nothing(reference: str, shell: Shell) -> None:
    with shell.mounted(reference, "--quiet") as mount:
        assert (mount.ran.stdout, mount.ran.stderr) == ("", "")
        assert mount.log_file.read_text() == ""
        mount.umount()
        assert mount.log_file.read_text() == ""


@contextmanager
def foreground(shell: Shell, reference: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """`mount --foreground`, readable when the block begins."""
    with shell.start("mount", reference, place, "--foreground") as process:
        try:
            assert process.stderr is not None
            assert any("mounted at" in line for line in process.stderr), "it ended before it was readable"
            yield process
        finally:
            process.kill()  # nothing to kill where the test ended it in order


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_foreground_mount_in_order(reference: str, kit: Kit, shell: Shell, number: signal.Signals) -> None:
    place = shell.new_place()
    with foreground(shell, reference, place) as process:
        assert wrong_files(place, kit) == []
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=_WAIT_SECONDS)
        assert (process.returncode, stdout) == (0, "")
        assert "Traceback" not in stderr
    assert shell.is_tidy()


def test_unmounting_a_foreground_mount_from_elsewhere_ends_it_in_order(reference: str, shell: Shell) -> None:
    place = shell.new_place()
    with foreground(shell, reference, place) as process:
        assert shell.run("umount", place).exit_code == 0
        assert process.wait(_WAIT_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_mount_given_up_while_it_waits_leaves_nothing(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, number: signal.Signals
) -> None:
    registry.push("life/kit", "1", kit.manifest, kit.blobs)
    withhold = Withhold()
    registry.faults.install(Fault(Match(path="/blobs/"), withhold))
    with shell.start("mount", f"{server.host}/life/kit:1", shell.new_place()) as process:
        assert withhold.gate.wait_until_held()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=_WAIT_SECONDS)
        assert process.returncode != 0
        assert "Traceback" not in stderr
    withhold.release()
    assert shell.is_tidy(), (shell.mounts(), shell.processes())


def test_a_daemon_told_to_end_unmounts(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        os.kill(mount.pid, signal.SIGTERM)
        assert ended(mount.pid)
        assert not mount.is_mounted()
    assert list(mount.place.iterdir()) == []


def test_a_daemon_told_to_end_unmounts_even_while_a_file_is_open(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        file = os.open(mount.path("weights.bin"), os.O_RDONLY)
        try:
            os.kill(mount.pid, signal.SIGTERM)
            assert ended(mount.pid)
            assert not mount.is_mounted()
            assert refusal_of(lambda: os.pread(file, 10, 0)) == "ENOTCONN"
        finally:
            refusal_of(lambda: os.close(file))  # whoever closes a file of a mount that is gone may hear of it


def test_a_mount_in_use_is_not_unmounted_but_lazily(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        with mount.path("weights.bin").open("rb") as file:
            ran = shell.run("umount", mount.place)
            assert (ran.exit_code, len(ran.lines) <= 3, mount.is_mounted()) == (BUSY, True, True), ran
            assert wrong_files(mount.place, kit) == []
            assert shell.run("umount", "--lazy", mount.place).exit_code == 0
            assert not mount.is_mounted()
            assert len(file.read()) == 3 * MIB + 1  # whoever has it open may read on
        assert ended(mount.pid)


def test_a_killed_daemon_leaves_an_error_and_not_an_empty_directory(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        mount.path("README.md").read_bytes()
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        assert refusal_of(lambda: os.listdir(mount.place)) == "ENOTCONN"
        assert refusal_of(mount.path("README.md").read_bytes) == "ENOTCONN"
        with shell.mounted(reference, place=mount.place) as again:
            assert wrong_files(again.place, kit) == []
            again.umount()
        assert not mount.is_mounted()  # the dead one is gone, too


def test_a_dead_mount_can_be_unmounted(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        ran = shell.run("umount", mount.place)
        assert (ran.exit_code, mount.is_mounted()) == (0, False), ran


def test_a_mount_whose_daemon_hangs_can_be_unmounted(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, mount.stopped():
        ran = shell.run("umount", mount.place, timeout=_WAIT_SECONDS)
        assert (ran.exit_code, mount.is_mounted()) == (0, False), ran


def test_a_second_mount_at_the_same_place_is_refused_and_the_first_lives_on(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        ran = shell.run("mount", reference, mount.place)
        assert (ran.exit_code, len(ran.lines) <= 3) == (BUSY, True), ran
        assert ran.stderr.startswith("Error: ")
        assert wrong_files(mount.place, kit) == []
        assert shell.processes() == [mount.pid]


def test_nothing_can_be_written_into_a_mount(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        attempts = {
            "write": lambda: mount.path("README.md").write_bytes(b"x"),
            "create": mount.path("new").touch,
            "mkdir": mount.path("new").mkdir,
            "remove": mount.path("README.md").unlink,
            "rename": lambda: mount.path("README.md").rename(mount.path("other")),
            "chmod": lambda: mount.path("README.md").chmod(0o777),
        }
        assert {name: refusal_of(attempt) for name, attempt in attempts.items()} == dict.fromkeys(attempts, "EROFS")
        assert wrong_files(mount.place, kit) == []


def test_df_and_du_see_the_size_of_the_kit(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        totals = os.statvfs(mount.place)
        content = sum(path.stat().st_size for path in mount.place.iterdir())
        assert content <= totals.f_blocks * totals.f_frsize < content + MIB
        assert (totals.f_bfree, totals.f_bavail) == (0, 0)
