"""The real command, run as somebody would run it, and what it leaves behind.

    shell = Shell(tmp_path)
    assert shell.run("ls", reference).exit_code == 0
    with shell.mounted(reference) as mount:
        (mount.place / "Kitfile").read_bytes()

A `Shell` is somebody with a home, cache, config file and credentials of their own, so that nothing of this machine gets into a test
and nothing of a test stays on it. Its home also names its processes: daemons inherit the environment they were started in.
"""

import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mkfs.fuse.connection import _open_control
from mkfs.fuse.mountinfo import Mount as Mounted
from mkfs.fuse.mountinfo import mount_at, mounts

SOURCE: Final = Path(__file__).resolve().parents[2] / "src"
_COMMAND_SECONDS: Final = 60  # longer than any deadline of ours: a command that hangs fails its test, not the run
_END_SECONDS: Final = 30  # of a process that need not wait for anything: less than what a reader waits for a registry
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """What it said on standard error."""
        return self.stderr.splitlines()


@dataclass(frozen=True)
class Shell:
    """Somebody at a prompt. All of it lives in `home`."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for directory in (self.home, self.home / "tmp", self.docker_config.parent):
            directory.mkdir(exist_ok=True)
        self.config.touch()

    @property
    def config(self) -> Path:
        """The config file."""
        return self.home / "config.toml"

    @property
    def cache(self) -> Path:
        """The cache directory. Not made before it is used."""
        return self.home / "cache"

    @property
    def runtime(self) -> Path:
        """Where its control sockets are."""
        return self.home / "run"

    @property
    def docker_config(self) -> Path:
        """Docker's file of credentials. Not there before `log_in`."""
        return self.home / "docker" / "config.json"

    def log_in(self, host: str, user: str, password: str) -> str:
        """Writes what `docker login` would write. Returns the secret word in it."""
        auth = b64encode(f"{user}:{password}".encode()).decode()
        self.docker_config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        return auth

    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONWARNINGS") if name in os.environ}
        return {
            **inherited,
            "PYTHONPATH": str(SOURCE),
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "XDG_CACHE_HOME": str(self.home / "xdg" / "cache"),
            "XDG_CONFIG_HOME": str(self.home / "xdg" / "config"),
            "XDG_STATE_HOME": str(self.home / "xdg" / "state"),
            "MKFS_CACHE_DIR": str(self.cache),
            "MKFS_RUNTIME_DIR": str(self.runtime),
            "MKFS_CONFIG": str(self.config),
            "DOCKER_CONFIG": str(self.docker_config.parent),
            **self.environment,
        }

    def words(self, *arguments: str | Path) -> list[str | Path]:
        """The command line of `mkfs …`; a mount in the background logs into the home."""
        log: list[str | Path] = []
        if arguments[:1] == ("mount",) and len(arguments) > 2 and "--foreground" not in arguments:
            log = ["--log-file", self.home / f"{Path(arguments[2]).name}.log"]
        return [sys.executable, "-P", "-m", "mkfs", *arguments, *log]

    def run(self, *arguments: str | Path, around: Sequence[str | Path] = (), timeout: float = _COMMAND_SECONDS) -> Ran:
        """Runs `mkfs …` to its end; `around` is a command that runs it, such as setpriv."""
        done = subprocess.run(
            [*around, *self.words(*arguments)],
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts `mkfs …`; the caller waits for it."""
        return subprocess.Popen(
            self.words(*arguments),
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )

    def new_place(self, name: str = "mnt") -> Path:
        """An empty directory to mount on."""
        place = self.home / name
        place.mkdir()
        return place

    def mount(self, reference: str, *options: str, place: Path | None = None) -> "Mount":
        """Mounts; fails the test where the command fails. `mounted` also ends it."""
        place, others = place or self.new_place(), self.processes()
        ran = self.run("mount", reference, place, *options)
        assert ran.exit_code == 0, ran
        daemons = [pid for pid in self.processes() if pid not in others]
        assert len(daemons) == 1, f"processes left by mount: {daemons}"
        return Mount(self, place, ran, daemons[0])

    @contextmanager
    def mounted(self, reference: str, *options: str, place: Path | None = None) -> Iterator["Mount"]:
        """A mount for the length of the block, taken down by force if need be."""
        mount = self.mount(reference, *options, place=place)
        try:
            yield mount
        finally:
            mount.end()

    def processes(self) -> list[int]:
        """The processes that were started from here and are alive."""
        mark = f"HOME={self.home}".encode()
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal() and mark in environment_of(entry)]

    def is_busy(self) -> bool:
        """Whether a thread of its processes has something to do at this moment, be it that it waits for a processor."""
        return any(state in "RD" for pid in self.processes() for state in states_of_threads(pid))

    def mounts(self) -> list[Path]:
        """Everything that is mounted below the home."""
        places = [Path(os.fsdecode(mount.place)) for mount in mounts()]
        return [place for place in places if self.home in place.parents]

    def is_tidy(self) -> bool:
        """Whether no process is left and nothing is mounted. Waits for processes that are about to end."""
        return all(ended(pid) for pid in self.processes()) and not self.mounts() and not self.processes()

    def tidy_up(self) -> None:
        """Ends by force what `is_tidy` complains about."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for place in reversed(self.mounts()):
            unmount_by_force(place)


@dataclass(frozen=True)
class Mount:
    """A mount that was readable when its command returned."""

    shell: Shell
    place: Path
    ran: Ran
    pid: int  # of its daemon

    @property
    def log_file(self) -> Path:
        """Where its daemon logs."""
        return self.shell.home / f"{self.place.name}.log"

    @property
    def entry(self) -> Mounted:
        """Its line in the mount table."""
        mount = mount_at(self.place)
        assert mount is not None, f"{self.place} is not mounted"
        return mount

    def is_mounted(self) -> bool:
        """Whether something is mounted at its place."""
        return mount_at(self.place) is not None

    def path(self, name: str) -> Path:
        """A path in it."""
        return self.place / name

    def requests_waiting(self) -> int:
        """How many requests the kernel waits for (fusectl, "waiting"), those in the daemon included."""
        control = _open_control(self.entry.device.partition(":")[2])
        assert control is not None, "no fusectl"
        try:
            with open("waiting", opener=lambda name, flags: os.open(name, flags, dir_fd=control)) as file:
                return int(file.read())
        finally:
            os.close(control)

    def umount(self) -> None:
        """Unmounts by the command, as a person would; fails the test where that fails or the daemon stays."""
        ran = self.shell.run("umount", self.place)
        assert ran.exit_code == 0, ran
        assert not self.is_mounted()
        assert ended(self.pid), "the daemon is still there"

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The daemon answers nobody for the length of the block (SIGSTOP): no thread of it runs any more when that begins."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: set(states_of_threads(self.pid)) == {"T"})
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Takes it down whatever state it is in; fails the test if the daemon has to be killed."""
        unmount_by_force(self.place)
        if not ended(self.pid):
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError("the daemon outlived its mount")


def ended(pid: int, seconds: float = _END_SECONDS) -> bool:
    """Whether the process `pid`, which need not be a child, ends within `seconds`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def unmount_by_force(place: Path) -> None:
    """Unmounts all that is mounted at `place`, lazily. A daemon on its way out may do so at the same moment."""
    while mount_at(place) is not None:
        ran = subprocess.run(["umount", "--lazy", place], capture_output=True, text=True, check=False)
        assert ran.returncode == 0 or mount_at(place) is None, ran


def wait_for(what: Callable[[], bool], seconds: float = _COMMAND_SECONDS) -> None:
    """Returns when it is so: of other processes, which tell nobody. Fails the test where that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """The letter of the process's state (proc_pid_stat(5)): T is stopped, D waits and hears no signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def states_of_threads(pid: int) -> list[str]:
    """The same of each thread of the process. One that runs on another processor stops a moment after the signal was sent."""
    found = []
    with suppress(FileNotFoundError):  # the process has ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has
                found.append(state_of(int(thread)))
    return found


def open_files(pid: int) -> dict[int, str]:
    """What the process has open, by descriptor. Threads of it open and close files meanwhile."""
    found = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[int(descriptor.name)] = str(descriptor.readlink())
    return found


def name_of(pid: int) -> str:
    """The process's name (proc_pid_comm(5)); "" of one that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    return ""


def refusal_of(work: Callable[[], object]) -> str:
    """The name of the error number with which the kernel refuses `work` ("" if it does not)."""
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return ""


def environment_of(process: Path) -> list[bytes]:
    """The `NAME=VALUE`s that the process with this directory in /proc was started with; none of one that is gone."""
    with suppress(OSError):
        return (process / "environ").read_bytes().split(b"\0")
    return []
