"""Real mounts for tests: `served(mountpoint)` runs `fuse_server` in a process of its own and unmounts whatever happens."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mkfs.fuse.mountinfo import mount_at

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS: Final = 60  # for an answer of the process; beyond it something hangs, and the test fails instead


@dataclass
class Server:
    """A mount and the process behind it."""

    path: Path
    process: subprocess.Popen[str]
    log: Path  # its standard error
    granted: dict[str, Any]  # what the kernel granted

    def ask(self, command: str = "statistics") -> dict[str, Any]:
        """Its counts, after it obeyed."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(_line(self.process, self.log))

    def stop(self) -> None:
        """As Ctrl-Z does: nothing of it runs any more when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def kill(self) -> None:
        """As a crash that nobody could prepare for."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def end(self) -> int:
        """Waits for its end; the exit code."""
        return self.process.wait(PATIENCE_SECONDS)


def start(mountpoint: Path, log: Path, *, before: tuple[str, ...] = (), **options: object) -> subprocess.Popen[str]:
    """The process, mounting. `before` goes in front of the command."""
    command = [*before, sys.executable, "-m", "tests.support.fuse_server", str(mountpoint), json.dumps(options)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with log.open("a") as errors:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=ROOT
        )


@contextmanager
def served(mountpoint: Path, *, before: tuple[str, ...] = (), **options: object) -> Iterator[Server]:
    """A readable mount at `mountpoint`, which is made. Afterwards no process and no mount is left."""
    mountpoint.mkdir(exist_ok=True)
    log = mountpoint.with_suffix(".log")
    process = start(mountpoint, log, before=before, **options)
    try:
        yield Server(mountpoint, process, log, json.loads(_line(process, log)))
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdin.close()
        process.stdout.close()
        while mount_at(mountpoint) is not None:
            subprocess.run(["umount", "--lazy", mountpoint], check=True)


def _line(process: subprocess.Popen[str], log: Path) -> str:
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
    line = process.stdout.readline() if ready else ""
    assert line, f"no answer from the file system process; it said: {log.read_text()}"
    return line
