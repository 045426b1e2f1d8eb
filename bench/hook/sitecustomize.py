"""Watches our daemon from inside: Python loads a module of this name at its start where `bench.lag` put it on the path.

A *step* is what a task does between two awaits; nobody else is served while it lasts. Counted from the first request of the kernel
on: what is slow before it (imports, the mount itself) keeps nobody waiting but who mounts. Reads are counted by their size as the
kernel asks. The numbers are kept in a file that both sides map, so that whoever measures may look at any time.
"""

import mmap
import os
import sys
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

_LONG_SECONDS = 0.01
_STEPS, _LONG, _LONGEST_NS, _LONGEST_CPU_NS, _READS = range(5)  # places in the file; reads of up to 2**n pages from the last one on
_PAGE_BYTES = 4096
_SECOND_NS = 10**9

_Read = Callable[..., Coroutine[Any, Any, Any]]


def _watch() -> None:
    import trio

    with Path(os.environ["MKFS_BENCH_COUNTS"]).open("r+b") as file:
        counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    class Steps(trio.abc.Instrument):
        """Times every step, by the clock and by the CPU: a machine that is busy elsewhere makes the first long, not the second."""

        def __init__(self) -> None:
            self._serving = False

        def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - the interface's
            self._started, self._cpu_started = time.perf_counter(), time.thread_time()

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            seconds, cpu_seconds = time.perf_counter() - self._started, time.thread_time() - self._cpu_started
            self._serving = self._serving or task.name.startswith("pyfuse")
            if not self._serving:
                return
            counts[_STEPS] += 1
            counts[_LONG] += seconds > _LONG_SECONDS
            counts[_LONGEST_NS] = max(counts[_LONGEST_NS], int(seconds * _SECOND_NS))
            counts[_LONGEST_CPU_NS] = max(counts[_LONGEST_CPU_NS], int(cpu_seconds * _SECOND_NS))

    run = trio.run

    def watched(*arguments: object, **options: object) -> object:
        from mkfs.fuse.operations import Operations

        Operations.read = _counting(Operations.read, counts)  # type: ignore[method-assign]  # pyfuse3 calls it by this name
        return run(*arguments, instruments=[Steps()], **options)  # type: ignore[arg-type]  # handed on as they came

    trio.run = watched  # type: ignore[assignment]  # the daemon calls it by this name


def _counting(read: _Read, counts: memoryview) -> _Read:
    last = len(counts) - 1

    @wraps(read)
    def counted(operations: object, fh: int, off: int, size: int) -> Coroutine[Any, Any, Any]:
        counts[min(_READS + (-(-size // _PAGE_BYTES) - 1).bit_length(), last)] += 1
        return read(operations, fh, off, size)

    return counted


if "mount" in sys.orig_argv:  # the daemon is a fork of the command
    _watch()
