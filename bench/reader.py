"""Reads a directory in one of the ways, in a process of its own, whose faults and CPU are nobody else's.

    python -m bench.reader WAY

It says `ready` when all its modules are there, waits for a line that names the directory, reads, and says in JSON what it saw.
`Reader` is its other end, and that of other programs that do the same.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench.ways import WAYS

_ROOT: Final = Path(__file__).resolve().parents[1]


@final
@dataclass(frozen=True, slots=True)
class Read:
    """What a reader saw: of all its processes and threads. `first_seconds`: until the first piece, if it is known; `words`: what it
    has to say of the content, if anything.
    """

    seconds: float
    size_bytes: int
    major_faults: int
    cpu_seconds: float
    first_seconds: float | None = None
    words: str = ""


@final
@dataclass(frozen=True, slots=True)
class Taken:
    """What a program read. `first_at`: when its first piece came, by `perf_counter`, which all processes share; None: not known."""

    size_bytes: int
    first_at: float | None = None


class ReaderFailed(Exception):
    """A reader ended with an error, which it has told on standard error."""


@final
class Reader:
    """A reader that is ready. Made by `started`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, directory: Path) -> Read:
        """Lets it read, once. Raises `ReaderFailed`."""
        said, _ = self._process.communicate(f"{directory}\n")
        if self._process.returncode:
            raise ReaderFailed(f"exit code {self._process.returncode}")
        return Read(**json.loads(said))


@contextmanager
def started(command: Sequence[str | Path]) -> Iterator[Reader]:
    """A process that is about to read."""
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise ReaderFailed("it did not start")
            yield Reader(process)
        finally:
            if process.poll() is None:
                process.kill()


def read_once(way: str, directory: Path) -> Read:
    """Reads `directory` in one of the ways; starting the process is not in its time."""
    with started([sys.executable, "-m", "bench.reader", way]) as ready:
        return ready.read(directory)


def read_when_told(read: Callable[[Path], Taken]) -> None:
    """The other end of `Reader`: calls `read`, and tells what was seen."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    directory = Path(sys.stdin.readline().rstrip("\n"))
    before, begun = _used(), perf_counter()
    taken = read(directory)
    seconds, after = perf_counter() - begun, _used()
    first_seconds = None if taken.first_at is None else taken.first_at - begun
    seen = Read(seconds, taken.size_bytes, after[0] - before[0], after[1] - before[1], first_seconds)
    sys.stdout.write(json.dumps(asdict(seen)))


def _used() -> tuple[int, float]:
    """Major faults and CPU seconds, children that have ended included."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_majflt for each in found), sum(each.ru_utime + each.ru_stime for each in found)


@contextmanager
def _crew(processes: int) -> Iterator[Executor]:
    """So many processes that are there already; for one, this one."""
    if processes == 1:
        with ThreadPoolExecutor(1) as pool:
            yield pool
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as crew:
        list(crew.map(_nothing, range(processes)))  # the first job starts them all
        yield crew


def _nothing(_: int) -> None:
    """A job."""


def _all(crew: Executor, name: str, directory: Path) -> Taken:
    shares = list(crew.map(partial(_share, name, directory), range(WAYS[name].processes)))
    crew.shutdown()  # what they used is known when they have ended
    return Taken(sum(each.size_bytes for each in shares), min((each.first_at for each in shares if each.first_at), default=None))


def _share(name: str, directory: Path, rank: int) -> Taken:
    counts: list[int] = []
    first_at: list[float] = []

    def take(_path: Path, _start: int, data: memoryview, row_bytes: int = 0) -> None:  # noqa: ARG001 - where it stood does not matter
        if not counts:
            first_at.append(perf_counter())
        counts.append(data.nbytes)

    WAYS[name].share(directory, take, rank=rank)
    return Taken(sum(counts), min(first_at, default=None))


if __name__ == "__main__":
    with _crew(WAYS[sys.argv[1]].processes) as pool:
        read_when_told(partial(_all, pool, sys.argv[1]))
