"""What /proc says of a process: the CPU it used, the bytes it wrote, and the private memory it holds while something runs."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from mkfs.units import KIB

_SAMPLE_SECONDS: Final = 0.02
_WRITTEN: Final = re.compile(rb"^wchar: ([0-9]+)$", re.MULTILINE)
_ANONYMOUS: Final = re.compile(rb"^RssAnon:\s+([0-9]+) kB$", re.MULTILINE)


@final
@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a process since it began, of all its threads, without its children."""

    user: float
    system: float

    @classmethod
    def of(cls, pid: int) -> "Cpu":
        """As of now (/proc/PID/stat, fields 14 and 15: proc_pid_stat(5))."""
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        per_second = os.sysconf("SC_CLK_TCK")
        return cls(int(fields[11]) / per_second, int(fields[12]) / per_second)

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was used in between."""
        return Cpu(self.user - earlier.user, self.system - earlier.system)

    @property
    def seconds(self) -> float:
        """Both."""
        return self.user + self.system


def written_bytes(pid: int) -> int:
    """What the process has written so far, to sockets and files alike (/proc/PID/io, wchar: proc_pid_io(5))."""
    found = _WRITTEN.search(Path(f"/proc/{pid}/io").read_bytes())
    if found is None:
        raise ValueError(f"/proc/{pid}/io has no wchar")
    return int(found[1])


@final
class Peak:
    """The most that was seen."""

    def __init__(self) -> None:
        self.size_bytes = 0


@contextmanager
def anonymous_memory(pid: int) -> Iterator[Peak]:
    """Samples RssAnon of `pid` for the length of the block; `Peak` has the highest when it is left."""
    peak, ended = Peak(), threading.Event()
    status = Path(f"/proc/{pid}/status")

    def sample() -> None:
        found = _ANONYMOUS.search(status.read_bytes())
        peak.size_bytes = max(peak.size_bytes, int(found[1]) * KIB if found else 0)

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            sample()

    watcher = threading.Thread(target=watch, name="RssAnon")
    watcher.start()
    try:
        yield peak
        sample()
    finally:
        ended.set()
        watcher.join()


def children_with(word: str) -> list[int]:
    """The children of our main thread whose command line has `word` in it."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
    return [int(pid) for pid in children if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
