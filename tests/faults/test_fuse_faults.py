"""What ends a mount or stops it while it is read: no wrong byte, nobody hangs, the next mount reads right."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.fuse.connection import _open_control
from mkfs.testing.faults import Fault, Flip, Match, Stall
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.faults.conftest import drop_cached
from tests.faults.crowd import Crowd
from tests.faults.machine import Remote, remote, until
from tests.faults.oracle import read, run
from tests.support.cgroups import Cgroup
from tests.support.kit_parts import layer_at
from tests.support.mounting import Mount, Shell, ended, refusal_of

pytestmark = [pytest.mark.fuse, pytest.mark.fault("F")]

BUSY = 22
WEIGHTS = "weights.bin"
GONE = {"ENOTCONN", "ECONNABORTED"}  # a mount without a daemon; who waited while it ended
REQUESTS = 4  # that wait: one would not be many


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("faults", seed=41).model(WEIGHTS, 8 * MIB + 77, raw=True)
    return builder.part("tokenizer", Directory({"merges.txt": 2 * MIB + 5, "vocab.json": 700})).docs("README.md", b"# f\n").build()


@pytest.fixture
def here(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> Remote:
    return remote(registry, server, kit)


@contextmanager
def besieged(here: Remote, shell: Shell, mount: Mount, readers: int = 8) -> Iterator[tuple[Crowd, Stall]]:
    """So many readers wait for bytes that do not come before the stall is released, or the block left."""
    stall = here.hold(WEIGHTS)
    crowd = Crowd.reading(mount.path(WEIGHTS), here.files[WEIGHTS], readers, shell.home)
    try:
        assert stall.gate.wait_until_held(timeout_seconds=60)
        until(lambda: mount.requests_waiting() >= REQUESTS)
        yield crowd, stall
    finally:
        stall.release()
        here.registry.faults.mend_all()
        crowd.process.kill()
        crowd.process.communicate()


def test_kill_9_under_32_readers(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with besieged(here, shell, mount, 32) as (crowd, _):
            os.kill(mount.pid, signal.SIGKILL)
            assert crowd.errors().keys() <= GONE
        assert ended(mount.pid)
        here.is_right_afterwards(shell, mount)


def test_sigterm_with_open_files(here: Remote, shell: Shell) -> None:
    right = here.files[WEIGHTS]
    with shell.mounted(here.reference) as mount:
        file = os.open(mount.path(WEIGHTS), os.O_RDONLY)
        try:
            assert os.pread(file, MIB, 0) == right[:MIB]
            os.kill(mount.pid, signal.SIGTERM)
            assert ended(mount.pid)
            assert not mount.is_mounted()
            assert refusal_of(lambda: os.pread(file, MIB, 4 * MIB)) == "ENOTCONN"
        finally:
            refusal_of(lambda: os.close(file))
        here.is_right_afterwards(shell, mount)


def test_sigstop_while_readers_wait(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with besieged(here, shell, mount) as (crowd, stall):
            with mount.stopped():
                before = mount.requests_waiting()
                stall.release()
                assert crowd.waits()
                assert mount.requests_waiting() >= before > 0  # nothing is answered, and nothing lost
            assert crowd.errors() == {}
        drop_cached(mount.place / "tokenizer")
        with mount.stopped():
            crowd = Crowd.reading(mount.path("tokenizer/merges.txt"), here.files["tokenizer/merges.txt"], 8, shell.home)
            until(lambda: mount.requests_waiting() > 0)
            assert crowd.waits()
        assert crowd.errors() == {}
        here.reads_right(shell, mount)


def test_the_abort_file_of_fusectl(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with besieged(here, shell, mount) as (crowd, _):
            abort(mount)
            assert crowd.errors().keys() <= GONE
        assert ended(mount.pid)
        here.is_right_afterwards(shell, mount)


def abort(mount: Mount) -> None:
    control = _open_control(mount.entry.device.partition(":")[2])
    assert control is not None
    try:
        file = os.open("abort", os.O_WRONLY, dir_fd=control)
        os.write(file, b"1")
        os.close(file)
    finally:
        os.close(control)


MAPPING = """
import mmap, sys
from pathlib import Path
right = Path(sys.argv[2]).read_bytes()
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
half = len(right) // 2
assert mapped[:half] == right[:half]
print("mapped", flush=True)
sys.stdin.readline()
assert mapped[half:] == right[half:]
"""


def mapping(shell: Shell, path: Path, right: bytes) -> "subprocess.Popen[bytes]":
    """A reader that maps `path`, compares one half of it, says so, and compares the other when told to."""
    (shell.home / "right").write_bytes(right)
    words = [sys.executable, "-c", MAPPING, path, shell.home / "right"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_lazy_umount_while_a_file_is_mapped(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with mapping(shell, mount.path(WEIGHTS), here.files[WEIGHTS]) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"mapped\n"
            assert run(shell, "umount", "--lazy", mount.place).exit_code == 0
            assert not mount.is_mounted()
            _, stderr = reader.communicate(b"\n", timeout=60)
            assert (reader.returncode, stderr) == (0, b"")
        assert ended(mount.pid)
        here.is_right_afterwards(shell, mount)


def test_umount_while_busy(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with mount.path(WEIGHTS).open("rb"):
            assert run(shell, "umount", mount.place).exit_code == BUSY
            here.reads_right(shell, mount)
        mount.umount()


def test_a_second_mount_at_the_same_place(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        assert run(shell, "mount", here.reference, mount.place).exit_code == BUSY
        here.reads_right(shell, mount)
        assert shell.processes() == [mount.pid]


def test_a_mount_over_a_dead_one(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        assert read(shell, mount.place, here.files) == dict.fromkeys(here.files, "ENOTCONN")
        here.is_right_afterwards(shell, mount)


def test_a_reader_killed_while_it_waits(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        with besieged(here, shell, mount) as (crowd, _):
            crowd.process.kill()
            assert crowd.process.wait(60) == -signal.SIGKILL  # before its bytes came
        here.reads_right(shell, mount)
        until(lambda: mount.requests_waiting() == 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_to_a_foreground_mount(here: Remote, shell: Shell, number: signal.Signals) -> None:
    place = shell.new_place()
    with shell.start("mount", here.reference, place, "--foreground") as process:
        try:
            assert process.stderr is not None
            assert any("mounted at" in line for line in process.stderr)
            assert read(shell, place, here.files) == {}
            process.send_signal(number)
            _, stderr = process.communicate(timeout=60)
            assert (process.returncode, "Traceback" in stderr) == (0, False)
        finally:
            process.kill()
    assert shell.is_tidy()


def test_mapped_bytes_that_are_not_proven_end_their_reader_with_sigbus(here: Remote, shell: Shell) -> None:
    here.registry.faults.install(Fault(Match("GET", digest=layer_at(here.kit, WEIGHTS).digest), Flip(3 * MIB)))
    with shell.mounted(here.reference) as mount:
        with mapping(shell, mount.path(WEIGHTS), here.files[WEIGHTS]) as reader:
            stdout, _ = reader.communicate(b"\n", timeout=60)
            assert (reader.returncode, stdout) == (-signal.SIGBUS, b"")
        assert read(shell, mount.place, {WEIGHTS: here.files[WEIGHTS]}) == {WEIGHTS: "EIO"}
        here.reads_right(shell, mount, but_for=(WEIGHTS,))


def test_out_of_memory_in_a_cgroup(here: Remote, shell: Shell) -> None:
    with Cgroup.made(f"mkfs-fault-{os.getpid()}") as group, shell.mounted(here.reference) as mount:
        group.add(mount.pid)
        group.limit(MIB)
        errors = read(shell, mount.place, here.files)
        assert set(errors.values()) <= GONE
        assert WEIGHTS in errors
        assert ended(mount.pid)
        assert group.kills() == 1
        here.is_right_afterwards(shell, mount)


def test_64_descriptors_under_32_readers(here: Remote, shell: Shell) -> None:
    place = shell.new_place()
    ran = shell.run("mount", here.reference, place, around=["prlimit", "--nofile=64:64"])
    assert ran.exit_code == 0, ran
    (daemon,) = shell.processes()
    mount = Mount(shell, place, ran, daemon)
    try:
        assert "64" in next(line for line in Path(f"/proc/{daemon}/limits").read_text().splitlines() if "open files" in line)
        crowd = Crowd.reading(mount.path(WEIGHTS), here.files[WEIGHTS], 32, shell.home)
        assert crowd.errors() == {}
        here.reads_right(shell, mount)
    finally:
        mount.end()


@pytest.mark.long  # the kernel looks for late requests every 15 seconds
def test_the_kernel_gives_up_a_daemon_that_answers_nobody(here: Remote, shell: Shell) -> None:
    knob = Path("/proc/sys/fs/fuse/default_request_timeout")  # Linux 6.15
    before = knob.read_text()
    knob.write_text("1")
    try:
        mount = shell.mount(here.reference)
    finally:
        knob.write_text(before)
    try:
        with mount.stopped():
            crowd = Crowd.reading(mount.path(WEIGHTS), here.files[WEIGHTS], 8, shell.home)
            assert crowd.errors().keys() <= GONE
        assert ended(mount.pid)
        here.is_right_afterwards(shell, mount)
    finally:
        mount.end()
