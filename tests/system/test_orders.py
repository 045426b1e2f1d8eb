"""What a mounted process does when it is sent a signal while it serves."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mkfs.errors import MountpointUnusable
from mkfs.fuse.mountinfo import mount_at
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import KIB, MIB
from tests.support.kit_parts import content_of, layer_at, wrong_files
from tests.support.mounting import Mount, Shell, ended, open_files, wait_for
from tests.support.service_manager import service_manager

pytestmark = pytest.mark.fuse

WAIT_SECONDS = 30
READ_BYTES = 128 * KIB
KIT = KitBuilder("orders", seed=12).model("weights.bin", 3 * MIB).docs("README.md", b"# orders\n").build()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("life/orders", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/life/orders:1"


@contextmanager
def reader_waiting(mount: Mount, registry: MemoryRegistry) -> Iterator[tuple[subprocess.Popen[bytes], Withhold]]:
    """A process that reads the beginning of the weights and waits for a registry that does not answer.

    In one request of the kernel, which nobody repeats (O_DIRECT): what it is told is what the mount answered, however late it gets
    a processor.
    """
    withhold = Withhold()
    registry.faults.install(Fault(Match("GET", digest=layer_at(KIT, "weights.bin").digest), withhold))
    words = ["dd", f"if={mount.path('weights.bin')}", "iflag=direct", f"bs={READ_BYTES}", "count=1", "status=none"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        try:
            assert withhold.gate.wait_until_held()
            yield reader, withhold
        finally:
            withhold.release()
            registry.faults.mend_all()


def told(mount: Mount, words: str) -> None:
    wait_for(lambda: words in mount.log_file.read_text())


def test_a_reader_whose_bytes_come_in_time_gets_them(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    with (
        shell.mounted(reference, "--stop-timeout", "60s") as mount,
        reader_waiting(mount, registry) as (reader, withhold),
    ):
        os.kill(mount.pid, signal.SIGTERM)
        told(mount, "SIGTERM: ending the mount")
        withhold.release()
        assert reader.communicate(timeout=WAIT_SECONDS)[0] == content_of(KIT, "weights.bin").read(ByteRange(0, READ_BYTES))
        assert ended(mount.pid)
        assert not mount.is_mounted()


def test_a_second_signal_ends_the_wait_at_once(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    with shell.mounted(reference, "--stop-timeout", "600s") as mount, reader_waiting(mount, registry) as (reader, _):
        os.kill(mount.pid, signal.SIGTERM)
        told(mount, "SIGTERM: ending the mount")
        assert mount.is_mounted()
        os.kill(mount.pid, signal.SIGTERM)
        assert ended(mount.pid)
        assert not mount.is_mounted()
        assert reader.communicate(timeout=WAIT_SECONDS)[0] == b""


def test_no_time_at_all_is_a_choice(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    chosen = replace(shell, environment={"MKFS_STOP_TIMEOUT": "0s"})
    with chosen.mounted(reference) as mount, reader_waiting(mount, registry) as (reader, _):
        os.kill(mount.pid, signal.SIGTERM)
        assert ended(mount.pid)
        assert b"Input/output error" in reader.communicate(timeout=WAIT_SECONDS)[1]


def test_a_daemon_that_is_stuck_while_it_ends_unmounts_and_ends_all_the_same(reference: str, shell: Shell) -> None:
    """Held where nobody releases it, as a thread that waits for a broken disk is."""
    place, gate = shell.new_place(), shell.new_place("gate")
    words = shell.words("mount", reference, place, "--stop-timeout", "0s")
    words[1:4] = ["-m", "tests.support.held", "unmounting", gate]
    environment = {**shell.variables(), "PYTHONPATH": f"{shell.variables()['PYTHONPATH']}:{ROOT}"}
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=WAIT_SECONDS)
    (daemon,) = shell.processes()
    os.kill(daemon, signal.SIGTERM)
    wait_for((gate / "held").exists)
    assert ended(daemon, WAIT_SECONDS)
    assert mount_at(place) is None
    assert "has not ended in time" in (shell.home / "mnt.log").read_text()


def test_a_mount_that_is_taken_away_before_it_is_readable_is_no_defect(reference: str, shell: Shell) -> None:
    place, gate = shell.new_place(), shell.new_place("gate")
    words = shell.words("mount", reference, place)
    words[1:4] = ["-m", "tests.support.held", "mounted", gate]
    environment = {**shell.variables(), "PYTHONPATH": f"{shell.variables()['PYTHONPATH']}:{ROOT}"}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for((gate / "held").exists)
        assert shell.run("umount", "--lazy", place).exit_code == 0  # umount(8) would ask it first
        (gate / "release").touch()
        _, said = process.communicate(timeout=WAIT_SECONDS)
    assert said == f"Error: {place} was unmounted before it was readable\n  mount it again\n"
    assert process.returncode == MountpointUnusable.exit_code
    assert shell.is_tidy()


def test_a_dump_shows_threads_and_tasks_and_ends_nobody(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    with shell.mounted(reference) as mount, reader_waiting(mount, registry):
        os.kill(mount.pid, signal.SIGUSR1)
        told(mount, "most recent call first")  # a thread's stack
        told(mount, " < ")  # where a task is
        told(mount, "prove (proving.py:")  # of what the reader waits for
        os.kill(mount.pid, signal.SIGUSR1)
        wait_for(lambda: mount.log_file.read_text().count("most recent call first") > 1)
        assert mount.is_mounted()


def test_a_dump_is_made_of_a_mount_that_is_not_there_yet(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    withhold = Withhold()
    registry.faults.install(Fault(Match(path="/manifests/"), withhold))
    place = shell.new_place()
    with shell.start("mount", reference, place, "--foreground") as process:
        assert withhold.gate.wait_until_held()
        process.send_signal(signal.SIGUSR1)
        withhold.release()
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if " mounted " in line:
                break
        assert any("most recent call first" in line for line in seen), seen
        process.terminate()
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0


def test_a_log_that_was_rotated_goes_on_in_a_new_file(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        old = mount.log_file.rename(shell.home / "old.log")
        os.kill(mount.pid, signal.SIGHUP)
        wait_for(lambda: mount.log_file.exists() and "the log goes on here" in mount.log_file.read_text())
        held = list(open_files(mount.pid).values())
        assert (held.count(str(old)), held.count(str(mount.log_file))) == (0, 2)
        assert wrong_files(mount.place, KIT) == []
        mount.umount()
        assert f"unmounted {mount.place}\n" in mount.log_file.read_text()


@contextmanager
def foreground(shell: Shell, reference: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    words = [*before, *shell.words("mount", reference, shell.new_place(), "--foreground")]
    with subprocess.Popen(words, env=shell.variables(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("mounted at" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


def test_a_terminal_that_goes_ends_a_foreground_mount_in_order(reference: str, shell: Shell) -> None:
    with foreground(shell, reference) as process:
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, "SIGHUP: ending the mount" in stderr) == (0, True)
    assert shell.is_tidy()


def test_nohup_keeps_a_foreground_mount(reference: str, shell: Shell) -> None:
    with foreground(shell, reference, "env", "--ignore-signal=HUP") as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        _, stderr = process.communicate(timeout=WAIT_SECONDS)
        assert ("SIGHUP" in stderr, "SIGTERM: ending the mount" in stderr) == (False, True)


def test_a_service_manager_has_no_terminal_that_could_go(reference: str, shell: Shell, tmp_path: Path) -> None:
    """Systemd's protocol, without systemd: `ExecReload=kill -HUP` must not end a service."""
    with service_manager(tmp_path / "notify") as manager:
        with foreground(replace(shell, environment=manager.variables), reference) as process:
            manager.hear_until("READY")
            process.send_signal(signal.SIGHUP)
            process.terminate()
            _, stderr = process.communicate(timeout=WAIT_SECONDS)
        assert "SIGHUP: nothing to reopen" in stderr
        assert "SIGTERM: ending the mount" in stderr
