"""A way of reading (bench.ways), every byte compared with the original: `python -m tests.readers.replay WAY DIRECTORY ORIGINAL`.

In a process of its own, as a page fault is waited for with the interpreter's lock held. Says in JSON how many bytes came, and where
wrong ones stood. Nothing is timed.
"""

import json
import mmap
import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.ways import WAYS


class Compared:
    """Takes pieces from many threads, and compares each with what stands at that place in the original."""

    def __init__(self, original: Path, stack: ExitStack) -> None:
        self._original, self._stack = original, stack
        self._mapped: dict[str, memoryview] = {}
        self._lock = threading.Lock()
        self.size_bytes = 0
        self.wrong: list[str] = []

    def __call__(self, path: Path, start: int, data: memoryview, row_bytes: int = 0) -> None:
        if row_bytes:  # the same part of rows that follow each other
            for number in range(data.shape[0]):
                self(path, start + number * row_bytes, data.cast("B")[number * data.shape[1] :][: data.shape[1]])
            return
        right = data == self._file(path.name)[start : start + len(data)]
        with self._lock:
            self.size_bytes += len(data)
            if not right:
                self.wrong.append(f"{path.name} at {start}")

    def _file(self, name: str) -> memoryview:
        with self._lock:
            if name not in self._mapped:
                with (self._original / name).open("rb") as file:
                    view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
                self._mapped[name] = self._stack.enter_context(view)
            return self._mapped[name]


def _share(way: str, directory: Path, original: Path, rank: int) -> tuple[int, list[str]]:
    with ExitStack() as stack:
        compared = Compared(original, stack)
        WAYS[way].share(directory, compared, rank=rank)
        return compared.size_bytes, compared.wrong


def main() -> None:
    """Reads, by as many processes as the way has, all at once."""
    way, directory, original = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    ranks = range(WAYS[way].processes)
    if len(ranks) == 1:
        shares = [_share(way, directory, original, 0)]
    else:
        with ProcessPoolExecutor(len(ranks), multiprocessing.get_context("fork")) as crew:
            shares = list(crew.map(partial(_share, way, directory, original), ranks))
    wrong = [place for _, places in shares for place in places]
    sys.stdout.write(json.dumps({"size_bytes": sum(size for size, _ in shares), "wrong": wrong}))


if __name__ == "__main__":
    main()
