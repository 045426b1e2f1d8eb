"""The tests' side of `tests.cache.worker`: a process with the cache open, and a conversation with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[2]


class Worker:
    """One such process."""

    def __init__(self, root: Path, size_limit_bytes: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cache.worker", root, *([] if size_limit_bytes is None else [str(size_limit_bytes)])],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.heard() == "open"

    def tell(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.heard()

    def stop(self) -> None:
        """As Ctrl-Z does: nothing of it runs any more when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Worker]
