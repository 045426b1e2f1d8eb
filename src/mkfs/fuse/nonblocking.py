"""pyfuse3's main loop, kept from blocking the process.

pyfuse3 3.5 waits until its descriptor is readable and then reads it in blocking mode, holding the GIL. A request whose caller is
killed in between is withdrawn by the kernel, and the read waits for the next one: fetches, timers and the control socket all stand
still until somebody touches the mount again (reproduced with killed `stat` calls within a minute; libfuse#1194 is the same in C).
So the descriptor is made non-blocking here, and the loop is resumed where pyfuse3 takes EAGAIN for an error.

Resuming costs what pyfuse3 does not free then: a receive buffer of 1 MiB, of which a page or two were ever touched.
"""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import pyfuse3
import trio

from mkfs.fuse.kernel import DEVICE


class _Loop(Protocol):
    """One of pyfuse3's workers: takes a request, answers it, starts another worker when none is left waiting."""

    async def __call__(self, nursery: trio.Nursery, min_tasks: int, max_tasks: int) -> None: ...


def prepare_loop() -> None:
    """Makes pyfuse3's loop take EAGAIN for what it is. Before `pyfuse3.init`, once per process.

    Raises `AttributeError` where pyfuse3 has no such loop any more: then this file has to be read again.
    """
    pyfuse3._session_loop = partial(_resuming, pyfuse3._session_loop)  # type: ignore[attr-defined]  # noqa: SLF001 - there is no hook


def never_block() -> None:
    """Makes the descriptor that `pyfuse3.init` just opened non-blocking. Before `pyfuse3.main`."""
    device = DEVICE.stat().st_rdev
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with suppress(OSError):  # the descriptor of the listing itself is closed by now
            if os.fstat(descriptor).st_rdev == device:
                os.set_blocking(descriptor, False)


async def _resuming(loop: _Loop, nursery: trio.Nursery, min_tasks: int, max_tasks: int) -> None:
    """Runs a worker until it ends of itself. pyfuse3 counts it as running all the while, which it is."""
    while True:
        try:
            await loop(nursery, min_tasks, max_tasks)
        except BlockingIOError:  # nothing to read after all
            continue
        return
