"""A soak: two mounts over one small cache, readers who know every byte, a fault every few seconds, a kill now and then.

What is promised: no wrong byte, nobody stuck, and memory and descriptors of a daemon that stay where they are. Errors are allowed
while a fault lasts; that bytes come again afterwards is asked for, too.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mkfs.errors import Busy
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody
from mkfs.testing.faults import (
    Action,
    Delay,
    Encoded,
    Fault,
    Flip,
    Html200,
    IgnoreRange,
    LongBody,
    Match,
    MissingContentRange,
    Reset,
    ShortBody,
    Slow,
    Stall,
    Status,
    Withhold,
    WrongContentRange,
)
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import KIB, MIB
from tests.support.mounting import SOURCE, Shell, states_of_threads, wait_for
from tests.support.soak_reader import Pulse

MOUNTS: Final = 2
READERS: Final = 8
STUCK_SECONDS: Final = 120.0  # a read under a fault of some seconds: 60 s without a byte, once more, and what the machine adds
SAMPLE_SECONDS: Final = 2.0
WARM_SECONDS: Final = 60.0  # of a daemon's life, before its memory is looked at
GROWTH: Final = 1.25  # what the last third of a daemon's samples may have more than the first, as a median,
GROWTH_BYTES: Final = 24 * MIB  # or this
# A layer of thirteen files has 29 descriptors while cached in part, and 4 when all of it is. A leak of one a fault would be 40.
GROWTH_FILES: Final = 36
_BLOBS: Final = "/blobs/"


@dataclass(frozen=True)
class Plan:
    """How long and how hard: so many faults, each with a pause `fault_seconds` long. `scale` multiplies the sizes of the kits, of
    which the cache holds about half.
    """

    faults: int
    faults_per_kill: int = 30
    fault_seconds: float = 10.0
    scale: int = 8
    seed: int = 1


@dataclass
class Life:
    """One daemon's samples: seconds since it was started, private resident bytes, descriptors."""

    mount: int
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def grown(self) -> str:
        """What grew, or "". Too short a life says nothing."""
        late = [sample for sample in self.samples if sample[0] >= WARM_SECONDS]
        third = len(late) // 3
        if third < 10:
            return ""
        first, last = late[:third], late[-third:]
        (bytes_before, bytes_after), (files_before, files_after) = (
            (statistics.median(each[at] for each in first), statistics.median(each[at] for each in last)) for at in (1, 2)
        )
        if bytes_after > max(GROWTH * bytes_before, bytes_before + GROWTH_BYTES):
            return f"memory of mount {self.mount} grew from {bytes_before / MIB:.0f} to {bytes_after / MIB:.0f} MiB"
        if files_after > files_before + GROWTH_FILES:
            return f"descriptors of mount {self.mount} grew from {files_before:.0f} to {files_after:.0f}"
        return ""


@dataclass
class Report:
    """What it came to."""

    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    works: int = 0
    right_bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # for each of them, what `status` said
    errors: Counter[str] = field(default_factory=Counter)
    lives: list[Life] = field(default_factory=list)
    tracebacks: int = 0
    idle: list[str] = field(default_factory=list)  # readers that got nothing in the last part, without a fault

    @property
    def misses(self) -> list[str]:
        """What was promised and is not so."""
        grown = [life.grown() for life in self.lives]
        shown = [f"{self.tracebacks} tracebacks in the logs"] if self.tracebacks else []
        return [*self.wrong, *self.stuck, *filter(None, grown), *self.idle, *shown]


class Soak:
    """The node, the registry and who reads. Made by `soaking`."""

    def __init__(self, directory: Path, plan: Plan, registry: MemoryRegistry, server: RegistryServer) -> None:
        self.plan, self.registry, self.server = plan, registry, server
        self.chance = random.Random(plan.seed)
        self.report = Report()
        self._directory = directory
        self._shell = Shell(directory / "home")
        self._places = [self._shell.new_place(f"mnt{number}") for number in range(MOUNTS)]
        self._pids = [0] * MOUNTS
        self._lives = [Life(number) for number in range(MOUNTS)]
        self._started = [0.0] * MOUNTS
        self._pulses: list[tuple[Path, Pulse]] = []
        self._readers: list[subprocess.Popen[bytes]] = []
        self._kits = [_kit(number, plan.scale) for number in range(MOUNTS)]
        for number, kit in enumerate(self._kits):
            registry.push(f"soak/{number}", "1", kit.manifest, kit.blobs)
            _unpack(kit, directory / f"original{number}")

    def start(self) -> None:
        """Mounts, and sets the readers off."""
        for number in range(MOUNTS):
            self.mount(number)
        for number in range(READERS):
            mount = number % MOUNTS
            path = self._directory / f"pulse{number}"
            pulse = Pulse(path, make=True)
            words: list[str | Path] = [
                self._places[mount],
                self._directory / f"original{mount}",
                str(self.plan.seed * 100 + number),
                path,
            ]
            environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
            with (self._directory / f"reader{number}.err").open("wb") as said:
                command = [sys.executable, "-P", "-m", "tests.support.soak_reader", *words]
                self._readers.append(subprocess.Popen(command, env=environment, stderr=said, process_group=0))
            self._pulses.append((path, pulse))

    def mount(self, number: int) -> None:
        """Mounts, also over a dead mount."""
        others = set(self._shell.processes())
        size = f"{self.plan.scale * 24}MiB"
        ran = self._shell.run(
            "mount",
            f"{self.server.host}/soak/{number}:1",
            self._places[number],
            "--cache-size",
            size,
            "--min-free",
            "1MiB",
            timeout=180,
        )
        if ran.exit_code:
            raise AssertionError(f"mount ended with {ran.exit_code}: {ran.stderr}")
        (self._pids[number],) = set(self._shell.processes()) - others
        self._lives[number] = Life(number)
        self._started[number] = time.monotonic()
        self.report.lives.append(self._lives[number])

    def kill(self, number: int) -> None:
        """Kills a daemon under its readers, and mounts anew."""
        os.kill(self._pids[number], signal.SIGKILL)
        self.report.kills += 1
        self.mount(number)

    def sample(self) -> None:
        """Looks at daemons and readers."""
        now = time.monotonic()
        for number, pid in enumerate(self._pids):
            with suppress(FileNotFoundError, ProcessLookupError):
                files = len(os.listdir(f"/proc/{pid}/fd"))
                self._lives[number].samples.append((now - self._started[number], _private_bytes(pid), files))
        for number, (_, pulse) in enumerate(self._pulses):
            pulse.look()
            if pulse.began and now - pulse.began > STUCK_SECONDS:
                self.report.stuck.append(f"reader {number} stuck for {now - pulse.began:.0f} s, {pulse.doing}")
                status = self._shell.run("status", "--format", "json", self._places[number % MOUNTS], timeout=60)
                self.report.waiting.append(status.stdout + status.stderr)
                self._readers[number].kill()  # said once
                pulse.began = 0.0
                pulse.tell()

    def right_bytes(self) -> list[int]:
        """What each reader got so far."""
        for _, pulse in self._pulses:
            pulse.look()
        return [pulse.right_bytes for _, pulse in self._pulses]

    @contextmanager
    def fault(self) -> Iterator[str]:
        """Something goes wrong for the length of the block."""
        name = self.chance.choice([*ANSWERS, *sorted(_LOCAL)])
        self.report.faults[name] += 1
        if name in ANSWERS:
            action = ANSWERS[name](self.chance)
            path = "" if self.chance.random() < 0.2 else _BLOBS
            fault = self.registry.faults.install(Fault(Match(path=path), action))
            try:
                yield name
            finally:
                self.registry.faults.mend(fault)
                if isinstance(action, Stall | Withhold):
                    action.release()
            return
        with _LOCAL[name](self):
            yield name

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A daemon that answers nobody (SIGSTOP)."""
        with _stopped([self.chance.choice(self._pids)]):
            yield

    @contextmanager
    def _halted(self) -> Iterator[None]:
        """No daemon does anything for the length of the block, nor is in a system call."""
        with _stopped(self._pids):
            wait_for(lambda: all(state in "TZX" for pid in self._pids for state in states_of_threads(pid)))
            yield

    @contextmanager
    def flipped(self) -> Iterator[None]:
        """A bit of a cache file, on the disk and in the page cache."""
        path = self._some_cache_file()
        if path is not None:
            # no writer of ours changes published bytes: the disk does, so the pages nobody hashed must be dropped with it,
            # before anybody reads them
            with self._halted(), suppress(OSError), path.open("r+b", buffering=0) as file:
                at = self.chance.randrange(max(1, path.stat().st_size))
                byte = os.pread(file.fileno(), 1, at)
                if byte:
                    os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        yield

    @contextmanager
    def deleted(self) -> Iterator[None]:
        """A cache file is gone."""
        path = self._some_cache_file()
        if path is not None:
            path.unlink(missing_ok=True)
        yield

    def _some_cache_file(self) -> Path | None:
        """Passes over what is evicted while it looks, as `Path.rglob` does not."""
        layers = self._shell.cache / "layers"
        files = sorted(Path(directory, name) for directory, _, names in os.walk(layers) for name in names)
        return self.chance.choice(files) if files else None

    def finish(self) -> Report:
        """Ends everything; what it came to."""
        for reader in self._readers:
            with suppress(ProcessLookupError):
                os.killpg(reader.pid, signal.SIGKILL)  # with the child that maps a file for it
            reader.wait()
        for number, (path, pulse) in enumerate(self._pulses):
            pulse.look()
            self.report.works += pulse.works
            self.report.right_bytes += pulse.right_bytes
            said = (self._directory / f"reader{number}.err").read_text()
            if said:
                self.report.wrong.append(f"reader {number}: {said.strip()[-300:]}")
            with suppress(FileNotFoundError):
                self.report.errors.update(json.loads(path.with_suffix(".json").read_text()))
        for place in self._places:
            self._umount(place)
        if not self._shell.is_tidy():
            self.report.stuck.append(f"left behind: {self._shell.mounts()} {self._shell.processes()}")
            self._shell.tidy_up()
        logs = [path.read_text("utf-8", "replace") for path in self._shell.home.glob("*.log")]
        self.report.tracebacks = sum(log.count("Traceback (most recent call last)") for log in logs)
        return self.report

    def _umount(self, place: Path) -> None:
        """As soon as nobody is in it: children of readers were just killed, and nobody can wait for them."""
        until = time.monotonic() + STUCK_SECONDS
        while self._shell.run("umount", place).exit_code == Busy.exit_code and time.monotonic() < until:
            pass


def soak(directory: Path, plan: Plan, say: Callable[[str], None] = lambda _line: None) -> Report:
    """Runs it. `say` is told every fault and kill, and how things are every minute."""
    with ExitStack() as stack:
        registry = MemoryRegistry()
        work = Soak(directory, plan, registry, stack.enter_context(serve(registry)))
        began = time.monotonic()
        try:
            work.start()
            _run(work, began, say)
        finally:
            registry.faults.mend_all()
            work.finish()
        work.report.seconds = time.monotonic() - began
        return work.report


def _run(work: Soak, began: float, say: Callable[[str], None]) -> None:
    plan = work.plan
    for number in range(1, plan.faults + 1):
        with work.fault() as name:
            say(f"{time.monotonic() - began:6.0f} s  {name}")
            _sampling(work, plan.fault_seconds * 0.6)
        _sampling(work, plan.fault_seconds * 0.4)
        if number % plan.faults_per_kill == 0:
            mount = work.report.kills % MOUNTS
            say(f"{time.monotonic() - began:6.0f} s  kill -9 of mount {mount}")
            work.kill(mount)
        right = sum(work.right_bytes()) / MIB
        say(f"{time.monotonic() - began:6.0f} s  {right:.0f} MiB right; {'; '.join(work.report.misses) or 'as promised'}")
    before, until = work.right_bytes(), time.monotonic() + STUCK_SECONDS
    while (idle := [late == early for early, late in zip(before, work.right_bytes(), strict=True)]) and any(idle):
        if time.monotonic() > until:
            work.report.idle += [f"reader {number} got nothing after the last fault" for number, still in enumerate(idle) if still]
            break
        _sampling(work, SAMPLE_SECONDS)


def _sampling(work: Soak, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(SAMPLE_SECONDS, left))
        work.sample()


# What the registry may answer for some seconds.
ANSWERS: Final[dict[str, Callable[[random.Random], Action]]] = {
    "a flipped bit": lambda chance: Flip(chance.randrange(MIB)),
    "503": lambda _chance: Status(503),
    "429": lambda _chance: Status(429, {"Retry-After": "1"}),
    "500": lambda _chance: Status(500),
    "404": lambda _chance: Status(404),
    "a sign-in page": lambda _chance: Html200(),
    "whole bodies": lambda _chance: IgnoreRange(),
    "another Content-Range": lambda _chance: WrongContentRange(),
    "no Content-Range": lambda _chance: MissingContentRange(),
    "short bodies": lambda chance: ShortBody(chance.randrange(MIB)),
    "honest short bodies": lambda chance: ShortBody(chance.randrange(MIB), honest=True),
    "long bodies": lambda chance: LongBody(chance.randrange(1, MIB)),
    "gzip unasked": lambda _chance: Encoded(),
    "reset before the head": lambda _chance: Reset(None),
    "reset in the body": lambda chance: Reset(chance.randrange(MIB)),
    "a stall": lambda chance: Stall(chance.randrange(MIB)),
    "no answer": lambda _chance: Withhold(),
    "slow": lambda chance: Slow(chance.choice((10.0, 64.0 * KIB, 1.0 * MIB))),
    "late": lambda chance: Delay(chance.uniform(0.1, 3.0)),
}
_LOCAL: Final = {
    "a daemon stopped": Soak.stopped,
    "a flipped bit in the cache": Soak.flipped,
    "a cache file deleted": Soak.deleted,
}


def _kit(number: int, scale: int) -> Kit:
    """About 24 MiB times `scale`: raw and tar shards, a directory, a compressed layer, small files."""
    builder = KitBuilder("soak", seed=100 + number).model("model-00001-of-00002.bin", 6 * scale * MIB + 1, raw=True)
    builder.part("model-00002-of-00002.bin", 5 * scale * MIB + 4097)
    files = {f"part{each:02}.bin": scale * MIB // 2 + 31 * each for each in range(12)}
    builder.part("shards", Directory({**files, "list.txt": b"shards\n"}))
    builder.dataset("data", Directory({f"{each}.json": 900 + each for each in range(40)}))
    return builder.part("tokenizer.json", 300 * KIB).docs("README.md", b"# soak\n").build()


def _unpack(kit: Kit, place: Path) -> None:
    for layer in kit.layers:
        for member in layer.members:
            if member.body is not None:
                path = place / os.fsdecode(member.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, member.body)


def _write(path: Path, body: BlobBody) -> None:
    with path.open("wb") as file:
        for start in range(0, body.size_bytes, MIB):
            file.write(body.read(ByteRange(start, min(start + MIB, body.size_bytes))))


@contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[None]:
    """SIGSTOP to those that are there, and SIGCONT after the block."""
    try:
        _send(pids, signal.SIGSTOP)
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _private_bytes(pid: int) -> int:
    """What a process has resident of its own: proc_pid_status(5), RssAnon."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * KIB
    return 0
