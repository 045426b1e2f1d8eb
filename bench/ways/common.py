"""What the ways share: the files of a model, where its tensors lie, mappings, and threads."""

import ctypes
import json
import mmap
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar, final

import numpy

from mkfs.units import MIB

_LENGTH_BYTES: Final = 8  # of the length before a safetensors header
_COPIED_BYTES: Final = MIB  # at a time, into memory that is used again: a copy of a tensor without the tensor's memory
_NUMBERS: Final = re.compile(r"([0-9]+)")

T = TypeVar("T")


class Take(Protocol):
    """Told of what was read."""

    def __call__(self, path: Path, start: int, data: memoryview, /, row_bytes: int = 0) -> None:
        """`data` stands at `start` of `path`, and is there for the length of the call. Threads call at the same time.

        Data of two dimensions are the same part of rows that follow each other: each stands `row_bytes` behind the one before.
        """


@final
@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in its file, `[start, stop)` in bytes."""

    name: str
    path: Path
    start: int
    stop: int
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How long its first dimension is."""
        return self.shape[0]

    @property
    def is_vector(self) -> bool:
        """Whether it has one dimension."""
        return len(self.shape) == 1

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return self.stop - self.start


def natural(text: str) -> list[object]:
    """A key for sorting: numbers by their value."""
    return [int(part) if part.isdecimal() else part for part in _NUMBERS.split(text)]


def shards_of(directory: Path) -> list[Path]:
    """The safetensors files, in natural order."""
    return sorted(directory.glob("*.safetensors"), key=lambda path: natural(path.name))


def tensors_of(shard: Path) -> list[Tensor]:
    """The tensors of a safetensors file as its header has them, which is the order of their offsets."""
    with shard.open("rb", buffering=0) as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        return parse_header(shard, file.read(length))


def parse_header(shard: Path, header: bytes) -> list[Tensor]:
    """The tensors of a header, without the length before it."""
    first = _LENGTH_BYTES + len(header)
    found = []
    for name, entry in json.loads(header).items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            found.append(Tensor(name, shard, first + start, first + stop, tuple(entry["shape"])))
    return found


def in_threads(threads: int, work: Callable[[T], None], jobs: Iterable[T]) -> None:
    """Does all jobs, `threads` at a time in their order. Raises what one of them raises."""
    if threads == 1:
        for job in jobs:
            work(job)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, job) for job in jobs]:
            done.result()


@final
class Mapping:
    """A file mapped as torch does: private and writable, though nobody writes. Pieces are copied without the interpreter's lock,
    so that the faults of many threads are waited for at the same time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self.memory = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        finally:
            os.close(descriptor)
        self._anchor = ctypes.c_char.from_buffer(self.memory)
        self._address = ctypes.addressof(self._anchor)

    def close(self) -> None:
        """Unmaps."""
        del self._anchor
        self.memory.close()

    def copy(self, start: int, stop: int, take: Take) -> None:
        """Touches every page of `[start, stop)` in their order."""
        address, view = _buffer()
        for at in range(start, stop, _COPIED_BYTES):
            count = min(_COPIED_BYTES, stop - at)
            ctypes.memmove(address, self._address + at, count)
            take(self.path, at, view[:count])

    def copy_columns(self, tensor: Tensor, columns: slice, take: Take) -> None:
        """Touches the same part of every row of a tensor, row after row."""
        row_bytes = tensor.size_bytes // tensor.rows
        rows = numpy.frombuffer(self.memory, numpy.uint8, tensor.rows * row_bytes, tensor.start).reshape(tensor.rows, row_bytes)
        wanted = rows[:, columns]
        at_once = max(_COPIED_BYTES // wanted.shape[1], 1)
        for row in range(0, tensor.rows, at_once):
            copied = numpy.ascontiguousarray(wanted[row : row + at_once])
            take(self.path, tensor.start + row * row_bytes + columns.start, copied.data, row_bytes)


@contextmanager
def mappings(paths: Sequence[Path]) -> Iterator[dict[Path, Mapping]]:
    """All of them mapped, for the length of the block."""
    with ExitStack() as stack:
        found = {}
        for path in paths:
            found[path] = Mapping(path)
            stack.callback(found[path].close)
        yield found


_LOCAL: Final = threading.local()


def _buffer() -> tuple[int, memoryview]:
    """Memory of this thread: its address, and a view of it."""
    if not hasattr(_LOCAL, "found"):
        anchor = (ctypes.c_char * _COPIED_BYTES)()
        _LOCAL.found = (ctypes.addressof(anchor), memoryview(anchor).cast("B"))
    found: tuple[int, memoryview] = _LOCAL.found
    return found
