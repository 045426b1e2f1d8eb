"""What a process is doing, for a person: SIGUSR1 writes the stack of each thread and the tree of trio's tasks. Names of functions
and files only, no values: nothing in it is secret.

Threads are written by `faulthandler`, in the signal's own handler, to standard error (in the background that is the log): so they
are seen even of a process whose loop is stuck. The tasks come from the loop, if it turns, through the log.
"""

import faulthandler
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

log = logging.getLogger(__name__)

SIGNAL: Final = signal.SIGUSR1
_STANDARD_ERROR: Final = 2
_LINES: Final = 200  # of the tree: thousands of readers may wait
_TRIO: Final = Path(trio.__file__).parent  # how trio waits is not of interest
_FRAMES: Final = 6  # of a task, the innermost: what it waits for, and who wants it


def dump_when_told() -> None:
    """From now on SIGUSR1 writes the threads' stacks, and ends nobody. To be called before there is a loop."""
    signal.signal(SIGNAL, signal.SIG_IGN)  # what remains when faulthandler steps back, instead of death
    faulthandler.register(SIGNAL, file=_STANDARD_ERROR)


@contextmanager
def stepping_back() -> Iterator[None]:
    """For the length of the block faulthandler leaves SIGUSR1 alone, so that others may set a handler of theirs, or restore one."""
    faulthandler.unregister(SIGNAL)
    try:
        yield
    finally:
        faulthandler.register(SIGNAL, file=_STANDARD_ERROR, chain=True)  # first the stacks, then the handler that is set now


def dump_tasks() -> None:
    """Logs the tree of tasks."""
    lines = list(task_lines())
    for line in lines[:_LINES]:
        log.info("%s", line)
    if len(lines) > _LINES:
        log.info("… and %d lines more", len(lines) - _LINES)


def task_lines() -> Iterator[str]:
    """The tree of tasks of the running loop, a line each: its name, and where it is, innermost first; of equal ones a count.

    pyfuse3's are compiled and show no frames within: what readers wait for is seen in what fetches it.
    """
    root = trio.lowlevel.current_root_task()
    if root is not None:
        yield from _below([root], 0)


def _below(tasks: list[trio.lowlevel.Task], depth: int) -> Iterator[str]:
    last, equal = "", 0
    for task in tasks:
        line = f"{'  ' * depth}{task.name}{_place(task)}"
        children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if line == last and not children:
            equal += 1
            continue
        if equal:
            yield f"{'  ' * depth}… and {equal} the same"
        last, equal = "" if children else line, 0
        yield line
        yield from _below(sorted(children, key=lambda child: child.name), depth + 1)
    if equal:
        yield f"{'  ' * depth}… and {equal} the same"


def _place(task: trio.lowlevel.Task) -> str:
    frames = [(frame.f_code, line) for frame, line in task.iter_await_frames()]
    inner = [(code, line) for code, line in frames[::-1] if _TRIO not in Path(code.co_filename).parents][:_FRAMES]
    return "".join(f" < {code.co_name} ({Path(code.co_filename).name}:{line})" for code, line in inner)
