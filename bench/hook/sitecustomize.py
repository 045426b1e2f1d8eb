"""Watches the loop of our daemon from inside: Python loads a module of this name at its start where `bench.lag` put it on the path.

A *step* is what a task does between two awaits; nobody else is served while it lasts. Counted from the first request of the kernel
on: what is slow before it (imports, the mount itself) keeps nobody waiting but who mounts. Written down when the loop ends.
"""

import json
import os
import sys
import time
from pathlib import Path

_LONG_SECONDS = 0.01


def _watch() -> None:
    import trio

    class Steps(trio.abc.Instrument):
        """Times every step, by the clock and by the CPU: a machine that is busy elsewhere makes the first long, not the second."""

        def __init__(self) -> None:
            self.steps = self.long = 0
            self.longest_seconds = self.longest_cpu_seconds = 0.0
            self._serving = False

        def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - the interface's
            self._started, self._cpu_started = time.perf_counter(), time.thread_time()

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            seconds, cpu_seconds = time.perf_counter() - self._started, time.thread_time() - self._cpu_started
            self._serving = self._serving or task.name.startswith("pyfuse")
            if not self._serving:
                return
            self.steps += 1
            self.long += seconds > _LONG_SECONDS
            self.longest_seconds = max(self.longest_seconds, seconds)
            self.longest_cpu_seconds = max(self.longest_cpu_seconds, cpu_seconds)

    steps, run = Steps(), trio.run

    def watched(*arguments: object, **options: object) -> object:
        try:
            return run(*arguments, instruments=[steps], **options)  # type: ignore[arg-type]  # handed on as they came
        finally:
            found = {name: value for name, value in vars(steps).items() if not name.startswith("_")}
            Path(os.environ["MKFS_BENCH_LAG"]).write_text(json.dumps(found))

    trio.run = watched  # type: ignore[assignment]  # the daemon calls it by this name


if "mkfs.service.daemon" in sys.orig_argv:
    _watch()
