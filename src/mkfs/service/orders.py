"""Signals as orders to a mounted process.

    SIGTERM, SIGINT   end in order: reads under way get `stop_timeout_seconds` to be answered, then EIO, then the directory is
                      unmounted. A second one: at once. Before the directory is readable there is nothing to wait for.
    SIGHUP            reopen the log file (log rotation). In the foreground without one: the terminal is gone, end in order; but a
                      service manager has no terminal, and there it means nothing
    SIGUSR1           stacks and tasks to the log: `service.dumping`

Theory. Whoever ends a process kills it when it takes too long, and a killed daemon leaves a dead mount. So an order to end has a
bound, and it holds though a thread of ours waits for a broken disk: when the loop has not come to its end by then, a thread
unmounts and ends the process (`_LAST_SECONDS`).
"""

import logging
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

import trio

from mkfs.service.dumping import SIGNAL as SIGDUMP
from mkfs.service.dumping import dump_tasks, stepping_back
from mkfs.service.logs import open_log
from mkfs.service.notify import Notifier
from mkfs.service.settings import MountSettings

log = logging.getLogger(__name__)

# After the reads had their time: what closing takes, with room for a slow machine. Together below 30 s, Kubernetes' patience.
_LAST_SECONDS: Final = 5.0
_STANDARD_ERROR: Final = 2


@final
class Orders:
    """What this process was told. Made by `taking_orders`."""

    def __init__(self, settings: MountSettings, notifier: Notifier) -> None:
        self.notifier = notifier
        self.number: signal.Signals | None = None  # the signal that told it to end
        self.mounting = trio.CancelScope()  # all that comes before the mount serves: an order to end cancels it
        self.unmount: Callable[[], None] = lambda: None  # what takes the mount away, once there is one
        self._settings = settings
        self._end, self._at_once = trio.Event(), trio.Event()
        self._serving = False

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._end.is_set()

    def serves(self) -> None:
        """The mount serves: from now on it is for whoever awaits `until_told_to_end` to end it."""
        self._serving = True

    async def until_told_to_end(self) -> None:
        """Returns when it was told to end."""
        await self._end.wait()

    async def unless_at_once(self, work: Callable[[float], Awaitable[None]]) -> None:
        """Runs `work`, which is told how many seconds it has, until a second order cancels it."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel() -> None:
                    await self._at_once.wait()
                    scope.cancel()

                nursery.start_soon(cancel)
                await work(self._settings.stop_timeout_seconds)
                nursery.cancel_scope.cancel()

    def take(self, number: signal.Signals) -> None:
        """Does what a signal says."""
        if number == SIGDUMP:
            dump_tasks()
        elif number == signal.SIGHUP and self._settings.log_file is not None:
            reopen_log(Path(self._settings.log_file))
        elif number == signal.SIGHUP and self.notifier.wanted:
            log.info("SIGHUP: nothing to reopen")
        elif self.ending:
            self._at_once.set()
        else:
            self._tell_to_end(number)

    def _tell_to_end(self, number: signal.Signals) -> None:
        self.number = number
        self.notifier.stopping("unmounting")
        log.info("%s: ending the mount at %s", number.name, self._settings.mountpoint)
        threading.Thread(target=self._end_anyway, name="last resort", daemon=True).start()
        self._end.set()
        if not self._serving:
            self.mounting.cancel()

    def _end_anyway(self) -> None:
        """Runs in a thread, which the end of the process ends first where all is well."""
        time.sleep(self._settings.stop_timeout_seconds + _LAST_SECONDS)
        log.error("the mount at %s has not ended in time: something of it is stuck; ending anyway", self._settings.mountpoint)
        self.unmount()
        os._exit(1)


@asynccontextmanager
async def taking_orders(settings: MountSettings, notifier: Notifier) -> AsyncGenerator[Orders, None]:
    """Takes orders for the length of the block, and shows a service manager that the loop turns. Errors leave it in a group."""
    orders = Orders(settings, notifier)
    numbers = [signal.SIGTERM, signal.SIGINT, SIGDUMP]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1)
        numbers.append(signal.SIGHUP)
    receiver = trio.open_signal_receiver(*numbers)
    with stepping_back():
        signals = receiver.__enter__()
    try:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for number in signals:
                    orders.take(signal.Signals(number))

            nursery.start_soon(listen)
            nursery.start_soon(notifier.keep_alive)
            yield orders
            nursery.cancel_scope.cancel()
    finally:
        with stepping_back():
            receiver.__exit__(None, None, None)


def reopen_log(path: Path) -> None:
    """Goes on logging in a file that is at `path` now, made if need be: the one before was renamed. Descriptors stay the same
    numbers, so that nobody who writes to one has to know. Where it cannot be opened the old one goes on.
    """
    streams = [handler.stream for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    held = [number for number in (stream.fileno() for stream in streams) if number != _STANDARD_ERROR]
    try:
        with open_log(path) as file:
            if any(os.path.sameopenfile(number, _STANDARD_ERROR) for number in held):
                os.dup2(file.fileno(), _STANDARD_ERROR)
            for number in held:
                os.dup2(file.fileno(), number, inheritable=False)
    except OSError as error:
        log.warning("SIGHUP: the log file cannot be reopened: %s", error)
        return
    log.info("SIGHUP: the log goes on here")
