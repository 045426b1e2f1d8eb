"""A daemon is told to end, killed, or stopped and continued, at each stage of a mount's life. Nothing is left behind that the next
mount of the same place does not clear, and that one reads the right bytes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mkfs.fuse.mountinfo import mount_at
from mkfs.testing.bodies import SeededBody
from mkfs.testing.faults import Fault, Match, Stall, Withhold
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import KIB, MIB
from tests.support.kit_parts import layer_at, wrong_files
from tests.support.leftovers import left_behind
from tests.support.mounting import Shell, ended, refusal_of, state_of, wait_for

pytestmark = [pytest.mark.fuse, pytest.mark.fault("F")]

WAIT_SECONDS = 30
ROOT = Path(__file__).resolve().parents[2]
TERM, KILL, STOP = signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP
SIGNALS = pytest.mark.parametrize("number", [TERM, KILL, STOP], ids=lambda number: number.name)


@dataclass
class Stage:
    """A mount that is brought to a stage, and a daemon there."""

    shell: Shell
    registry: MemoryRegistry
    host: str
    kit: Kit
    stack: ExitStack
    reference: str = ""
    place: Path = field(default_factory=Path)
    command: subprocess.Popen[str] | None = None
    releases: list[Callable[[], None]] = field(default_factory=list)

    def push(self, kit: Kit) -> None:
        self.kit = kit
        self.registry.push("life/stages", "1", kit.manifest, kit.blobs)
        self.reference, self.place = f"{self.host}/life/stages:1", self.shell.new_place()

    def hold(self, match: Match, action: Withhold | Stall) -> Withhold | Stall:
        """Answers that match are held until `release`."""
        self.registry.faults.install(Fault(match, action))
        self.releases += [action.release, self.registry.faults.mend_all]
        self.stack.callback(self.release)
        return action

    def release(self) -> None:
        while self.releases:
            self.releases.pop()()

    def start(self, *options: str, held: str = "") -> None:
        """The command, which does not come to its end; held at a point of `tests.support.held`."""
        words = self.shell.words("mount", self.reference, self.place, "--stop-timeout", "1s", *options)
        environment = self.shell.variables()
        if held:
            gate = self.shell.home / "gate"
            gate.mkdir()
            words[1:4] = ["-m", "tests.support.held", held, gate]
            environment["PYTHONPATH"] += f":{ROOT}"
            self.releases.append((gate / "release").touch)
            self.stack.callback(self.release)
        self.command = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stack.callback(self.command.communicate)
        self.stack.callback(self.command.kill)

    @property
    def daemon(self) -> int:
        """The one process that is not the command, which is there when something is held."""
        (pid,) = [pid for pid in self.shell.processes() if self.command is None or pid != self.command.pid]
        return pid

    def came_to_its_end(self) -> int:
        """The command's exit code."""
        assert self.command is not None
        _, stderr = self.command.communicate(timeout=WAIT_SECONDS)
        assert "Traceback" not in stderr
        return self.command.returncode

    def send(self, number: signal.Signals, pid: int) -> None:
        """Sends it, and does what lets the daemon go on: after a stop it is continued. Returns when it is gone or continued."""
        os.kill(pid, number)
        if number == STOP:
            wait_for(lambda: state_of(pid) == "T")
            self.release()
            os.kill(pid, signal.SIGCONT)
            return
        if number == KILL:
            assert ended(pid)
        self.release()
        assert ended(pid)

    def is_dead(self) -> bool:
        return mount_at(self.place) is not None and refusal_of(lambda: os.listdir(self.place)) == "ENOTCONN"

    def check_the_next_mount(self) -> None:
        """The next mount of the same place works, and nothing at all is left after it."""
        with self.shell.mounted(self.reference, place=self.place) as mount:
            assert wrong_files(mount.place, self.kit) == []
            mount.umount()
        assert left_behind(self.shell) == []
        assert list(self.place.iterdir()) == []


@pytest.fixture
def stage(shell: Shell, registry: MemoryRegistry, server: RegistryServer) -> Iterator[Stage]:
    with ExitStack() as stack:
        stage = Stage(shell, registry, server.host, KIT, stack)
        stage.push(KIT)
        yield stage


KIT = KitBuilder("stages", seed=7).model("weights.bin", 3 * MIB + 1).docs("README.md", b"# stages\n").build()
COMPRESSED = KitBuilder("stages", seed=8, compression="gzip").model("weights.bin", SeededBody(8, 4 * MIB)).build()
WEIGHTS = layer_at(KIT, "weights.bin").digest


def mounting(stage: Stage, number: signal.Signals, *, leaves_a_dead_mount: bool = False) -> None:
    """What is to be seen when the signal comes before the directory is readable."""
    stage.send(number, stage.daemon)
    if number == STOP:
        assert stage.came_to_its_end() == 0
        assert wrong_files(stage.place, stage.kit) == []
        assert stage.shell.run("umount", stage.place).exit_code == 0
    else:
        code = stage.came_to_its_end()
        assert code != 0 or (leaves_a_dead_mount and number == TERM)  # there it may be readable first, and end in order then
        assert stage.is_dead() == (leaves_a_dead_mount and number == KILL)
        assert leaves_a_dead_mount or mount_at(stage.place) is None
    stage.check_the_next_mount()


@SIGNALS
def test_before_the_reference_is_resolved(stage: Stage, number: signal.Signals) -> None:
    withhold = stage.hold(Match(path="/manifests/"), Withhold())
    stage.start()
    assert withhold.gate.wait_until_held()
    mounting(stage, number)


@SIGNALS
def test_while_tables_are_read(stage: Stage, number: signal.Signals) -> None:
    withhold = stage.hold(Match("GET", digest=WEIGHTS), Withhold())
    stage.start()
    assert withhold.gate.wait_until_held()
    mounting(stage, number)


@SIGNALS
def test_while_a_compressed_layer_is_streamed(stage: Stage, number: signal.Signals) -> None:
    stage.kit = COMPRESSED
    stage.registry.push("life/stages", "1", COMPRESSED.manifest, COMPRESSED.blobs)
    stall = stage.hold(Match("GET", digest=layer_at(COMPRESSED, "weights.bin").digest), Stall(700 * KIB))
    stage.start()
    assert stall.gate.wait_until_held()
    mounting(stage, number)


@SIGNALS
def test_between_init_and_ready(stage: Stage, number: signal.Signals) -> None:
    stage.start(held="ready")
    wait_for((stage.shell.home / "gate" / "held").exists)
    assert mount_at(stage.place) is not None
    mounting(stage, number, leaves_a_dead_mount=True)


def reading(stage: Stage) -> subprocess.Popen[str]:
    """A process that reads the weights, and says with which error that failed."""
    program = "import sys, errno\ntry: sys.stdout.write(str(len(open(sys.argv[1], 'rb').read())))\n"
    program += "except OSError as error: sys.stdout.write(errno.errorcode[error.errno])"
    reader = subprocess.Popen([sys.executable, "-c", program, stage.place / "weights.bin"], stdout=subprocess.PIPE, text=True)
    stage.stack.callback(reader.communicate)
    stage.stack.callback(reader.kill)
    return reader


@SIGNALS
def test_while_a_reader_waits(stage: Stage, number: signal.Signals) -> None:
    stage.start()
    assert stage.came_to_its_end() == 0
    withhold = stage.hold(Match("GET", digest=WEIGHTS), Withhold())
    reader = reading(stage)
    assert withhold.gate.wait_until_held()
    pid = stage.daemon
    if number == TERM:  # nothing is released: the reader must not wait for that
        os.kill(pid, number)
        # The kernel tries a page again that it did not get. The mount waits a tenth of a second for that, not for a reader that
        # gets no processor meanwhile. `test_orders` has readers who are told once.
        assert reader.communicate(timeout=WAIT_SECONDS)[0] in ("EIO", "ENOTCONN", "ECONNABORTED")
        assert ended(pid)
        assert mount_at(stage.place) is None
    else:
        stage.send(number, pid)
        said = reader.communicate(timeout=WAIT_SECONDS)[0]
        assert said in (("ENOTCONN", "ECONNABORTED") if number == KILL else (str(3 * MIB + 1),))
        assert stage.is_dead() == (number == KILL)
        if number == STOP:
            assert stage.shell.run("umount", stage.place).exit_code == 0
    stage.release()
    stage.check_the_next_mount()


@SIGNALS
def test_during_a_fetch_that_nobody_waits_for(stage: Stage, number: signal.Signals) -> None:
    withhold = stage.hold(Match("GET", digest=WEIGHTS), Stall(2 * MIB))
    stage.start("--fill")
    assert stage.came_to_its_end() == 0
    assert withhold.gate.wait_until_held()
    pid = stage.daemon
    if number == TERM:
        os.kill(pid, number)
        assert ended(pid)
        assert mount_at(stage.place) is None
    else:
        stage.send(number, pid)
        assert stage.is_dead() == (number == KILL)
        if number == STOP:
            assert stage.shell.run("umount", stage.place).exit_code == 0
    stage.release()
    stage.check_the_next_mount()


@SIGNALS
def test_while_unmounting(stage: Stage, number: signal.Signals) -> None:
    stage.start(held="unmounting")
    assert stage.came_to_its_end() == 0
    pid = stage.daemon
    os.kill(pid, TERM)
    wait_for((stage.shell.home / "gate" / "held").exists)
    stage.send(number, pid)
    assert ended(pid)
    assert stage.is_dead() == (number == KILL)
    assert (mount_at(stage.place) is None) == (number != KILL)
    stage.check_the_next_mount()
