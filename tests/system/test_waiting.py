"""`kitfs wait`: until a directory is mounted, warm, or proven, and what ends the wait otherwise."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.asking import report
from tests.support.kit_parts import layer_at
from tests.support.mount8 import mount8
from tests.support.mounting import Shell, ended

pytestmark = pytest.mark.fuse

TIMED_OUT, UNMOUNTED, NOT_SERVING = 12, 20, 24
_SECONDS = 30
_POLL = ("7", "73")  # poll on x86-64, ppoll on arm64


@pytest.fixture(scope="module")
def kit() -> Kit:
    return KitBuilder("llama", seed=5).part("weights.bin", 4 * MIB, raw=True).model("model.gguf", 3 * MIB).build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


@contextmanager
def waiting(shell: Shell, place: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`kitfs wait`, which has come as far as waiting."""
    with shell.start("wait", place, *options) as process:
        try:
            yield process
        finally:
            process.kill()


def sleeps_in_poll(process: subprocess.Popen[str]) -> bool:
    """Whether the process sleeps in poll(2): the kernel says in which system call it is (proc_pid_syscall(5))."""
    return Path(f"/proc/{process.pid}/syscall").read_text().split()[0] in _POLL


def read_all(*paths: Path) -> None:
    for path in paths:
        assert path.read_bytes()


def test_what_is_mounted_need_not_be_waited_for(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert shell.run("wait", mount.place).exit_code == 0
        assert shell.run("wait", mount.place, "--until", "mounted", "--timeout", "1s").exit_code == 0


def test_what_is_not_mounted_yet_is_waited_for_without_a_busy_loop(reference: str, shell: Shell) -> None:
    """In a mount namespace of its own, whose table others don't change: every change there wakes whoever waits."""
    place = shell.new_place()
    with (
        mount8(shell) as system,
        subprocess.Popen(system.inside(*shell.words("wait", place)), env=shell.variables()) as process,
    ):
        try:
            while process.poll() is None and not sleeps_in_poll(process):
                os.sched_yield()  # nobody tells when it has come there
            used = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
            assert shell.run("ls", reference).exit_code == 0  # takes longer than any period would be
            assert Path(f"/proc/{process.pid}/stat").read_text().split()[13:15] == used
            assert system.run(*shell.words("mount", reference, place)).exit_code == 0
            assert process.wait(_SECONDS) == 0
            system.umount(place)
        finally:
            process.kill()


def test_a_directory_that_is_not_there_yet_may_come(reference: str, shell: Shell) -> None:
    place = shell.home / "later"
    with waiting(shell, place) as process:
        place.mkdir()
        with _mounted(shell, reference, place):
            assert process.wait(_SECONDS) == 0


@contextmanager
def _mounted(shell: Shell, reference: str, place: Path) -> Iterator[None]:
    assert shell.run("mount", reference, place).exit_code == 0
    yield
    assert shell.run("umount", place).exit_code == 0


@pytest.mark.parametrize("until", ["mounted", "warm", "proven"])
def test_it_is_given_up_in_time(shell: Shell, until: str) -> None:
    place = shell.new_place()
    ran = shell.run("wait", place, "--until", until, "--timeout", "1s")
    assert (ran.exit_code, ran.lines[0]) == (TIMED_OUT, f"Error: not {until} after 1.0 s")


@pytest.mark.parametrize("until", ["warm", "proven"])
def test_readers_make_it_warm_and_proven(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell, until: str) -> None:
    with shell.mounted(reference) as mount:
        withhold = Withhold()
        registry.faults.install(Fault(Match(digest=layer_at(kit, "weights.bin").digest), withhold))
        read_all(mount.path("model.gguf"))
        assert shell.run("wait", mount.place, "--until", until, "--timeout", "2s").exit_code == TIMED_OUT
        with waiting(shell, mount.place, "--until", until) as process:
            with subprocess.Popen(["cat", mount.path("weights.bin")], stdout=subprocess.DEVNULL) as reader:
                assert withhold.gate.wait_until_held()
                assert process.poll() is None
                withhold.release()
                assert reader.wait(_SECONDS) == 0
            assert process.wait(_SECONDS) == 0
        told = report(shell, mount.place)
        assert (told["warm"], told["proven"]) == (True, True)


def test_what_was_proven_and_evicted_is_proven_and_not_warm(reference: str, kit: Kit, shell: Shell) -> None:
    assert shell.run("warmup", reference).exit_code == 0
    cache = Cache.open(shell.cache, min_free_ratio=0)
    cache.drop(layer_at(kit, "weights.bin").digest)
    cache.close()
    with shell.mounted(reference) as mount:
        assert shell.run("wait", mount.place, "--until", "proven", "--timeout", f"{_SECONDS}s").exit_code == 0
        assert shell.run("wait", mount.place, "--until", "warm", "--timeout", "1s").exit_code == TIMED_OUT
        read_all(mount.path("weights.bin"))  # chunk by chunk: complete, and not published
        assert shell.run("wait", mount.place, "--until", "warm", "--timeout", f"{_SECONDS}s").exit_code == 0


def test_a_mount_that_goes_away_ends_the_wait(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, waiting(shell, mount.place, "--until", "warm") as process:
        wait_until_followed(shell, mount.pid)
        mount.umount()
        assert process.wait(_SECONDS) == UNMOUNTED
        assert process.stderr is not None
        assert process.stderr.readline() == "Error: unmounted before it was warm\n"


def test_a_mount_that_dies_ends_the_wait(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        with waiting(shell, mount.place, "--until", "warm") as process:
            wait_until_followed(shell, mount.pid)
            os.kill(mount.pid, signal.SIGKILL)
            assert ended(mount.pid)
            assert process.wait(_SECONDS) == NOT_SERVING
        assert shell.run("umount", mount.place).exit_code == 0


def test_a_mount_that_stops_ends_the_wait(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, waiting(shell, mount.place, "--until", "warm") as process:
        wait_until_followed(shell, mount.pid)
        with mount.stopped():
            assert process.wait(_SECONDS) == NOT_SERVING


def wait_until_followed(shell: Shell, pid: int) -> None:
    """Returns when somebody is connected to the control socket of process `pid`: then it has one more of that name open."""
    name = f"{shell.runtime}/"
    while len([line for line in Path("/proc/net/unix").read_text().splitlines() if f"/.{pid}.sock" in line or name in line]) < 2:
        os.sched_yield()  # nobody tells
