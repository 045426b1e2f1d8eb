"""The real mount(8) with a /sbin and an fstab of its own: in a mount namespace, so that this machine keeps its own.

    with mount8(shell) as system:
        system.fstab.write_text("…")
        assert system.run("mount", "-a").exit_code == 0

What mounts leave running there (daemons) has the shell's config file in its environment, but not its home: mount(8) takes HOME and
PATH away (util-linux lib/env.c).
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.mounting import Ran, Shell, ended, environment_of
from tests.support.namespaces import LET_GO

_SECONDS: Final = 60
_PREPARE: Final = f"""
{LET_GO}
mount --bind "$1" /sbin
if [ ! -e /etc/fstab ]; then
    mount -t tmpfs none /mnt
    mkdir /mnt/upper /mnt/work
    mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work none /etc
    umount --lazy /mnt
    touch /etc/fstab
fi
mount --bind "$2" /etc/fstab
echo ready
exec cat
"""


@dataclass(frozen=True)
class Mount8:
    """A machine, as far as mount(8) can tell."""

    shell: Shell
    pid: int  # of a process in its namespace
    sbin: Path  # what it has as /sbin
    fstab: Path  # what it has as /etc/fstab

    def inside(self, *words: str | Path) -> list[str | Path]:
        """The command line that runs `words` in it, in the process that it starts."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--wdns=/", *words]

    def run(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> Ran:
        """Runs a command in it, with the shell's environment or `environment` alone."""
        done = subprocess.run(
            self.inside(*words),
            env=self.shell.variables() if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def find(self, place: Path, columns: str = "SOURCE,FSTYPE,OPTIONS") -> list[str]:
        """What findmnt(8) says of what is mounted at `place`; [] where nothing is."""
        return self.run("findmnt", "--noheadings", "--raw", "--output", columns, "--mountpoint", place).stdout.split()

    def daemons(self) -> list[int]:
        """The processes that mounts in it left."""
        mark = f"MKFS_CONFIG={self.shell.config}".encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and mark in environment_of(entry)]

    def ended(self) -> bool:
        """Whether no mount has left a daemon. One that is on its way out has some seconds for it."""
        return all(ended(pid) for pid in self.daemons())

    def umount(self, *places: Path) -> None:
        """Ends mounts as a person would, and fails the test where that fails or a daemon stays."""
        daemons = self.daemons()
        assert daemons
        assert self.run("umount", *places).exit_code == 0
        assert [self.find(place) for place in places] == [[] for _ in places]
        assert all(ended(pid) for pid in daemons)

    def read(self, path: Path) -> str:
        """A file as it is in there."""
        ran = self.run("cat", path)
        assert ran.exit_code == 0, ran
        return ran.stdout


@contextmanager
def mount8(shell: Shell) -> Iterator[Mount8]:
    """Such a machine for the length of the block, without any helper yet."""
    sbin, fstab = shell.home / "sbin", shell.home / "fstab"
    sbin.mkdir()
    fstab.touch()
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _PREPARE, "sh", sbin, fstab]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        system = Mount8(shell, holder.pid, sbin, fstab)
        try:
            yield system
            assert system.ended(), "left behind"
        finally:
            for pid in system.daemons():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            holder.stdin.close()
