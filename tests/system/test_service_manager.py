"""systemd's protocol, without systemd: real mounts, and a socket that hears what they tell."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mkfs.testing.access import Basic
from mkfs.testing.faults import Fault, Match, Stall, Withhold
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import layer_at
from tests.support.mounting import Shell, ended
from tests.support.service_manager import Manager, service_manager

pytestmark = pytest.mark.fuse

WAIT_SECONDS = 20
USER, SECRET = "ada", "pl4nted horse: battery staple"
NOT_FOUND, TERMINATED = 10, 128 + signal.SIGTERM


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with service_manager(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def supervised(shell: Shell, manager: Manager) -> Shell:
    """Somebody whose commands a service manager starts."""
    return replace(shell, environment=manager.variables)


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    kit = KitBuilder("watched", seed=3).model("weights.bin", MIB).docs("README.md", b"# watched\n").build()
    registry.push("life/watched", "1", kit.manifest, kit.blobs)
    return f"{server.host}/life/watched:1"


@contextmanager
def started(shell: Shell, reference: str, place: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with shell.start("mount", reference, place, "--foreground", *options) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing to kill where the test ended it in order


# A mount that says how far it is more often than the command's does.
HASTY = """
import sys
from mkfs.service.mounted import run
from mkfs.service.settings import MountSettings, NotifySettings, SourceSettings

reference, place, cache, notify = sys.argv[1:]
settings = MountSettings(
    source=SourceSettings(reference=reference, cache_dir=cache), notify=NotifySettings(notify), progress_seconds=0.05,
    mountpoint=place, allow_other=False, uid=0, gid=0, umask=0, read_timeout_seconds=60,
)
sys.exit(run(settings, print, print))
"""


def test_a_foreground_mount_is_ready_when_its_directory_is_readable_and_tells_its_end(
    supervised: Shell, manager: Manager, reference: str
) -> None:
    place = supervised.new_place()
    with started(supervised, reference, place) as process:
        first, *_, ready = manager.hear_until("READY")
        assert (place / "README.md").read_bytes() == b"# watched\n"
        assert first["STATUS"] == f"mounting {reference}: asking the registry"
        assert ready["STATUS"].startswith(f"serving {reference}@sha256:")
        assert ready["STATUS"].endswith(f" at {place}")
        process.send_signal(signal.SIGTERM)
        assert manager.hear() == {"STOPPING": "1", "STATUS": "unmounting"}
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
        assert set(manager.senders) == {process.pid}
    assert manager.hear(0) == {}


def test_unmounting_from_elsewhere_is_told_too(supervised: Shell, manager: Manager, shell: Shell, reference: str) -> None:
    place = supervised.new_place()
    with started(supervised, reference, place) as process:
        manager.hear_until("READY")
        assert shell.run("umount", place).exit_code == 0
        assert manager.hear() == {"STOPPING": "1", "STATUS": "unmounting"}
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0


def test_a_daemon_becomes_the_main_process_before_it_is_ready(supervised: Shell, manager: Manager, reference: str) -> None:
    """Type=notify without --foreground: the command, which the service manager started, introduces the daemon and ends."""
    with supervised.mounted(reference) as mount:
        introduced, *_, ready = manager.hear_until("READY")
        assert introduced == {"MAINPID": str(mount.pid)}
        command, *daemons = manager.senders
        assert command != mount.pid
        assert set(daemons) == {mount.pid}
        assert ready["READY"] == "1"
        os.kill(mount.pid, signal.SIGTERM)
        assert manager.hear()["STOPPING"] == "1"
        assert ended(mount.pid)


def test_the_watchdog_is_told_by_whoever_serves(supervised: Shell, manager: Manager, reference: str) -> None:
    """WATCHDOG_PID names the command; what it starts serves in its stead."""
    watched = replace(supervised, environment={**manager.variables, "WATCHDOG_USEC": "20000"})
    with watched.mounted(reference) as mount:
        manager.hear_until("READY")
        assert manager.hear() == {"WATCHDOG": "1"}
        with mount.stopped():
            while manager.hear(0):
                pass
            assert manager.hear(0.2) == {}
        assert manager.hear() == {"WATCHDOG": "1"}


def test_a_watchdog_of_another_process_is_not_ours(supervised: Shell, manager: Manager, reference: str) -> None:
    environment = {**manager.variables, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with replace(supervised, environment=environment).mounted(reference) as mount:
        manager.hear_until("READY")
        mount.umount()
    assert manager.hear() == {"STOPPING": "1", "STATUS": "unmounting"}


@pytest.mark.parametrize("foreground", [True, False])
def test_what_it_runs_does_not_inherit_the_socket(
    supervised: Shell, manager: Manager, reference: str, registry: MemoryRegistry, *, foreground: bool
) -> None:
    """A credential helper is a program of others: it writes down what it finds in its environment."""
    programs = supervised.home / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-spy"
    helper.write_text(
        f'#!/bin/sh\nenv >"{supervised.home}/seen"\necho \'{{"ServerURL":"","Username":"{USER}","Secret":"{SECRET}"}}\'\n'
    )
    helper.chmod(0o755)
    registry.access = Basic({USER: SECRET})
    supervised.docker_config.write_text(json.dumps({"credHelpers": {reference.partition("/")[0]: "spy"}}))
    environment = {**manager.variables, "WATCHDOG_USEC": "1000000", "PATH": f"{programs}:{os.environ['PATH']}"}
    shell, place = replace(supervised, environment=environment), supervised.new_place()
    if foreground:
        with started(shell, reference, place, "--plain-http") as process:
            manager.hear_until("READY")
            process.terminate()
            process.communicate(timeout=WAIT_SECONDS)
    else:
        with shell.mounted(reference, "--plain-http", place=place):
            pass
    seen = (supervised.home / "seen").read_text()
    assert f"HOME={supervised.home}\n" in seen
    assert "NOTIFY_SOCKET" not in seen
    assert "WATCHDOG" not in seen


@pytest.mark.parametrize("foreground", [True, False])
def test_a_mount_that_fails_says_why(supervised: Shell, manager: Manager, reference: str, *, foreground: bool) -> None:
    options = ["--foreground"] if foreground else []
    ran = supervised.run("mount", reference.replace("watched", "other"), supervised.new_place(), *options)
    assert ran.exit_code == NOT_FOUND
    last = manager.hear_until("ERRNO")[-1]
    assert (last["ERRNO"], last["EXIT_STATUS"]) == ("5", str(NOT_FOUND))
    assert last["STATUS"].startswith("failed: ")


def test_a_mount_told_to_end_before_it_is_readable_ends_in_order(
    supervised: Shell, manager: Manager, reference: str, registry: MemoryRegistry
) -> None:
    withhold = Withhold()
    registry.faults.install(Fault(Match(path="/manifests/"), withhold))
    with started(supervised, reference, supervised.new_place()) as process:
        assert withhold.gate.wait_until_held()
        process.terminate()
        assert manager.hear_until("STOPPING")
        _, stderr = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == TERMINATED
        assert "Error: told to end (SIGTERM) before it was readable" in stderr
    withhold.release()


def test_a_start_that_takes_long_asks_for_more_time_while_bytes_come(
    supervised: Shell, manager: Manager, registry: MemoryRegistry, server: RegistryServer
) -> None:
    kit = KitBuilder("slow", seed=4, compression="gzip").model("weights.bin", 8 * MIB).build()
    registry.push("life/slow", "1", kit.manifest, kit.blobs)
    stall = Stall(3 * MIB)
    registry.faults.install(Fault(Match("GET", digest=layer_at(kit, "weights.bin").digest), stall, times=1))
    arguments = (f"{server.host}/life/slow:1", supervised.new_place(), supervised.cache, manager.address)
    process = subprocess.Popen([sys.executable, "-c", HASTY, *arguments], env=supervised.variables(), stdout=subprocess.DEVNULL)
    try:
        heard = manager.hear_until("EXTEND_TIMEOUT_USEC")
        assert "of compressed layers, 0 of 1 done" in heard[-1]["STATUS"]
        stall.release()
        manager.hear_until("READY")
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
