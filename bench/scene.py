"""What a measurement stands on: a directory, Debian's registry on loopback, somebody at a prompt, and the real oras.

Everything lives in one directory and ends with the block, also when it is left by Ctrl-C or SIGTERM.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench.memory import Ground
from bench.processes import Cpu, children_with, written_bytes
from bench.reading import files_below, read_all
from tests.support.docker_registry import DockerRegistry, running
from tests.support.mounting import Mount, Ran, Shell
from tests.support.pushing import Pusher

TOOLS: Final = Path(__file__).resolve().parents[1] / ".tools" / "bin"  # where scripts/install-oras puts it
_INSTALLED_BY: Final = {
    "docker-registry": "apt-get install docker-registry",
    "curl": "apt-get install curl",
    "oras": "scripts/install-oras",
}


class Failed(Exception):
    """A measurement that cannot be made. The other questions are asked all the same."""


def program(name: str) -> Path:
    """The program `name`. Ends the run with what to do where it is missing."""
    found = shutil.which(name, path=TOOLS) or shutil.which(name)
    if found is None:
        raise SystemExit(f"bench: {name} is not here (scripts/bench installs it: {_INSTALLED_BY.get(name, name)})")
    return Path(found)


@final
@dataclass(frozen=True)
class Mounted:
    """A mount, and how long it took from starting the command to a directory that could be read."""

    mount: Mount
    seconds: float

    def cpu(self) -> Cpu:
        """What its daemon used so far."""
        return Cpu.of(self.mount.pid)


@final
@dataclass(frozen=True)
class Pulled:
    """What `oras pull` did."""

    place: Path
    seconds: float
    cpu_seconds: float


@final
@dataclass(frozen=True)
class Scene:
    """The means of one run."""

    directory: Path
    registry: DockerRegistry
    registry_pid: int
    pusher: Pusher
    shell: Shell
    ground: Ground

    @property
    def mountpoint(self) -> Path:
        """Where kits are mounted."""
        return self.shell.home / "mnt"

    @property
    def pulled(self) -> Path:
        """Where oras pulls to."""
        return self.directory / "pulled"

    def clear_cache(self) -> None:
        """Forgets all that was fetched."""
        shutil.rmtree(self.shell.cache, ignore_errors=True)

    def settle(self) -> None:
        """The same for every turn: nothing left to write, the registry's files in the page cache, memory as agreed."""
        os.sync()
        read_all(files_below(self.registry.storage))
        self.ground.prepare()

    def registry_cpu(self) -> Cpu:
        """What the registry used so far."""
        return Cpu.of(self.registry_pid)

    def registry_sent_bytes(self) -> int:
        """What the registry wrote so far: what it sent, heads of answers included, as it logs next to nothing."""
        return written_bytes(self.registry_pid)

    def new_mountpoint(self) -> Path:
        """An empty directory."""
        with suppress(FileNotFoundError):
            self.mountpoint.rmdir()
        return self.shell.new_place(self.mountpoint.name)

    @contextmanager
    def mounted(self, reference: str, *options: str) -> Iterator[Mounted]:
        """A mount for the length of the block."""
        place = self.new_mountpoint()
        started = perf_counter()
        ran = self.shell.run("mount", reference, place, *options)
        place.stat()
        names = os.listdir(place)  # noqa: PTH208 - the system calls that are timed, and nothing else
        seconds = perf_counter() - started
        _insist(ran, names)
        (pid,) = self.shell.processes()
        mount = Mount(self.shell, place, ran, pid)
        try:
            yield Mounted(mount, seconds)
        finally:
            mount.end()

    def pull(self, reference: str) -> Pulled:
        """`oras pull` into an empty directory; take it away with `clear_pulled`."""
        self.clear_pulled()
        command = [str(program("oras")), "pull", "--plain-http", "--no-tty", "--output", str(self.pulled), reference]
        before, started = os.times(), perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=self.shell.variables(), check=True)
        seconds, after = perf_counter() - started, os.times()
        used = after.children_user - before.children_user + after.children_system - before.children_system
        return Pulled(self.pulled, seconds, used)

    def clear_pulled(self) -> None:
        """Forgets what oras pulled."""
        shutil.rmtree(self.pulled, ignore_errors=True)


@contextmanager
def scene(parent: Path | None, ground: Ground) -> Iterator[Scene]:
    """Sets everything up in a new directory (in `parent`, or where temporary files go), and takes it down."""
    with tempfile.TemporaryDirectory(prefix="mkfs-bench-", dir=parent, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with running(program("docker-registry"), directory / "registry") as registry:
            (pid,) = children_with(str(directory))
            shell, pusher = Shell(directory / "home"), Pusher(registry.host)
            try:
                yield Scene(directory, registry, pid, pusher, shell, ground)
            finally:
                pusher.close()
                if shell.mounts() or shell.processes():
                    shell.tidy_up()


def _insist(ran: Ran, names: list[str]) -> None:
    if ran.exit_code or not names:
        raise Failed(f"the mount failed (exit code {ran.exit_code})\n{ran.stderr}")
