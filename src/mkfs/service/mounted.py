"""A mount from its settings to its end: open the artifact, mount it, say so, serve, unmount."""

import ctypes
import importlib
import logging
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Final

import trio

from mkfs.errors import MkfsError
from mkfs.fuse.processes import name_this_process
from mkfs.service import logs
from mkfs.service.dumping import dump_when_told
from mkfs.service.exporting import exporting
from mkfs.service.failures import is_interrupt, sole
from mkfs.service.notify import Notifier
from mkfs.service.opening import names_repository, opening
from mkfs.service.orders import Orders, taking_orders
from mkfs.service.pipe import Outcome
from mkfs.service.progress import Progress, Showing
from mkfs.service.settings import MountSettings
from mkfs.service.streaming import open_shown
from mkfs.units import MIB

log = logging.getLogger(__name__)

_NEEDED_LATER: Final = ("mkfs.formats.kitops", "mkfs.formats.kitfile_yaml", "mkfs.service.showing")
_M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
# Pieces of bodies and answers of reads are up to 1 MiB; buffers of 8 MiB keep mappings of their own.
LARGEST_PIECE_BYTES: Final = 4 * MIB
KEPT_BYTES: Final = 32 * MIB  # at the top of each arena: what a moment's readers use
ARENAS: Final = 1  # who allocates holds the interpreter's lock, so nobody gains by more


def run(settings: MountSettings, announce: Callable[[Outcome], None], show: Callable[[Progress], None]) -> int:
    """Serves the mount until it is unmounted or told to stop (SIGTERM, SIGINT). Returns the exit code.

    `announce` is called exactly once: when the directory is readable, or with the error if it will not be. `show` is told before
    that how far it is, every `settings.progress_seconds`, where compressed layers are streamed.
    """
    announced = False

    def announce_once(outcome: Outcome) -> None:
        nonlocal announced
        if not announced:
            announced = True
            announce(outcome)

    notifier = Notifier(settings.notify)
    try:
        logs.start(
            settings.verbosity,
            settings.log_file,
            form=settings.log_format,
            level=settings.log_level,
            journal_stream=settings.journal_stream,
        )
        dump_when_told()
        name_this_process()
        _raise_file_limit()
        keep_freed_memory()
        Thread(target=_import_the_rest, name="imports", daemon=True).start()
        given_up = trio.run(_serve, settings, announce_once, show, notifier)
    except BaseException as error:
        known = sole(error)
        if known is None:
            if is_interrupt(error):
                announce_once(Outcome(128 + signal.SIGINT, ("interrupted",)))
                return 128 + signal.SIGINT
            log.exception("unexpected error: this is a defect")
            known = MkfsError(f"unexpected: {type(error).__name__}: {error}", hint="this is a defect: the log has its traceback")
        elif announced or settings.log_file is not None:
            logs.failure(known, log)
        notifier.failed(known)
        announce_once(Outcome(known.exit_code, tuple(known.lines())))
        return known.exit_code
    if given_up is None:
        return 0
    words = "interrupted" if given_up == signal.SIGINT else f"told to end ({given_up.name}) before it was readable"
    announce_once(Outcome(128 + given_up, (words,)))
    return 128 + given_up


def _import_the_rest() -> None:
    """Imports what nearly every mount needs, but none before the registry's first answers: while these are waited for."""
    for name in _NEEDED_LATER:
        importlib.import_module(name)


def _raise_file_limit() -> None:
    """As many open files as we may have: connections, and two descriptors for each stored file in use, outgrow the usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next piece of a body or answer, instead of giving it back and faulting it in anew.

    Measured: 27,000 page faults for a cold GiB instead of 91,000 and 111,000 in two runs without; what that is in seconds
    drowned in the noise of the machine. Each arena keeps as much, and threads get arenas of their own, eight for each processor:
    with 8 readers on two processors a mount kept 370 MiB, growing for minutes. Elsewhere than glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_PIECE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_ARENA_MAX, ARENAS)


async def _serve(
    settings: MountSettings, announce: Callable[[Outcome], None], show: Callable[[Progress], None], notifier: Notifier
) -> signal.Signals | None:
    """Returns the signal that ended it before it was readable."""

    def tell(moment: Progress) -> None:
        show(moment)
        notifier.progress(moment)

    async with taking_orders(settings, notifier) as orders:
        notifier.status(f"mounting {settings.source.reference}: asking the registry")
        with orders.mounting:
            await _open_and_show(settings, announce, tell, orders)
        if orders.mounting.cancelled_caught:
            return orders.number
    return None


async def _open_and_show(
    settings: MountSettings, announce: Callable[[Outcome], None], show: Callable[[Progress], None], orders: Orders
) -> None:
    async with opening(settings.source) as opened, exporting(settings.metrics_address) as exporter:
        means = replace(opened, exporter=exporter)
        if await names_repository(means):
            from mkfs.service.showing_repository import show_repository

            await show_repository(means, settings, announce, orders)
            return
        artifact = await open_shown(means, Showing(show, settings.progress_seconds), settings.timeout_seconds)
        try:
            from mkfs.service.showing import show_artifact

            await show_artifact(artifact, means, settings, announce, orders)
        finally:
            artifact.close()
