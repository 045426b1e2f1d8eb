"""pyfuse3's main loop, kept from blocking the process.

pyfuse3 3.5 waits until its descriptor is readable and then reads it in blocking mode, holding the GIL. A request whose caller is
killed in between is withdrawn by the kernel, and the read waits for the next one: fetches, timers and the control socket all stand
still until somebody touches the mount again (reproduced with killed `stat` calls within a minute; libfuse#1194 is the same in C).
So the descriptor is made non-blocking here, and the loop is resumed where pyfuse3 takes EAGAIN for an error.

Resuming costs what pyfuse3 does not free then: a receive buffer of 1 MiB, of which a page or two were ever touched.
"""

import os
import select
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import pyfuse3
import trio

from mkfs.fuse.kernel import DEVICE_NUMBER


class _Loop(Protocol):
    """One of pyfuse3's workers: takes a request, answers it, starts another worker when none is left waiting."""

    async def __call__(self, nursery: trio.Nursery, min_tasks: int, max_tasks: int) -> None: ...


def prepare_loop() -> list[int]:
    """Makes pyfuse3's loop take EAGAIN for what it is. Before `pyfuse3.init`, once per process. To be handed to `never_block`.

    Raises `AttributeError` where pyfuse3 has no such loop any more: then this file has to be read again.
    """
    descriptors: list[int] = []
    pyfuse3._session_loop = partial(_resuming, pyfuse3._session_loop, descriptors)  # type: ignore[attr-defined]  # noqa: SLF001 - there is no hook
    return descriptors


def never_block(descriptors: list[int]) -> None:
    """Makes the descriptor that `pyfuse3.init` just opened, or was handed, non-blocking, and notes it. Before `pyfuse3.main`."""
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with suppress(OSError):  # the descriptor of the listing itself is closed by now
            if os.fstat(descriptor).st_rdev == DEVICE_NUMBER:
                os.set_blocking(descriptor, False)
                descriptors.append(descriptor)


async def _resuming(loop: _Loop, descriptors: list[int], nursery: trio.Nursery, min_tasks: int, max_tasks: int) -> None:
    """Runs a worker until it ends of itself. pyfuse3 counts it as running all the while, which it is.

    One that ends because the connection is gone ends the others: what they fetch nobody waits for, and it may never come.
    """
    while True:
        try:
            await loop(nursery, min_tasks, max_tasks)
        except BlockingIOError:  # nothing to read after all
            continue
        if is_cut(descriptors):
            nursery.cancel_scope.cancel()
        return


def is_cut(descriptors: list[int]) -> bool:
    """Whether the connection of one of them is gone: unmounted, aborted (poll(2), fuse_dev_poll), or closed by us."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
