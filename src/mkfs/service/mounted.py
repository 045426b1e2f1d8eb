"""A mount from its settings to its end: open the artifact, mount it, say so, serve, unmount."""

import ctypes
import logging
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from mkfs.content.artifact import Artifact
from mkfs.content.layer import Layer
from mkfs.errors import MkfsError
from mkfs.fuse.session import MountOptions, Session, mount
from mkfs.registry.repository import Repository
from mkfs.service import logs
from mkfs.service.background import fill
from mkfs.service.failures import is_interrupt, sole
from mkfs.service.opening import Means, opening
from mkfs.service.pipe import Outcome
from mkfs.service.progress import Progress, Showing
from mkfs.service.scrubbing import scrub_slowly
from mkfs.service.settings import MountSettings
from mkfs.service.streaming import open_shown
from mkfs.units import MIB
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.forest import Forest, Planted
from mkfs.vfs.model_fs import ModelFS

log = logging.getLogger(__name__)

DEFERRED_NOTICE: Final = "--verify deferred: reads may be answered before they are proven; the log says so if one was wrong"
_M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_M_MMAP_THRESHOLD: Final = -3
LARGEST_PIECE_BYTES: Final = (
    4 * MIB
)  # pieces of bodies and answers of reads are up to 1 MiB; buffers of 8 MiB keep mappings of their own
KEPT_BYTES: Final = 32 * MIB  # at the top of the heap: what a moment's readers use


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

    try:
        logs.start(settings.verbosity, settings.log_file)
        _raise_file_limit()
        _keep_freed_memory()
        trio.run(_serve, settings, announce_once, show)
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
        announce_once(Outcome(known.exit_code, tuple(known.lines())))
        return known.exit_code
    return 0


def _raise_file_limit() -> None:
    """As many open files as we may have: connections, and two descriptors for each stored file in use, outgrow the usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next piece of a body or answer, instead of giving it back and faulting it in anew.

    Measured: 27,000 page faults for a cold GiB instead of 91,000 and 111,000 in two runs without; what that is in seconds
    drowned in the noise of the machine. Elsewhere than glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_PIECE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


async def _serve(settings: MountSettings, announce: Callable[[Outcome], None], show: Callable[[Progress], None]) -> None:
    async with opening(settings.source) as means:
        artifact = await open_shown(means, Showing(show, settings.progress_seconds), settings.timeout_seconds)
        try:
            await _show(artifact, means, settings, announce)
        finally:
            artifact.close()


async def _forget(session: Session, planted: Planted, layer: Layer) -> None:
    await session.forget(planted.files_of(layer))


async def _show(artifact: Artifact, means: Means, settings: MountSettings, announce: Callable[[Outcome], None]) -> None:
    description = artifact.description
    name = str(description.reference.pinned(description.digest))
    forest = Forest()
    planted = forest.plant(artifact.tree, artifact.layers, description.digest)
    ownership = Ownership(settings.uid, settings.gid, settings.umask, settings.allow_other)
    session = mount(
        ModelFS(forest, ownership),
        MountOptions(Path(settings.mountpoint), name, settings.allow_other, settings.read_timeout_seconds, settings.xattr),
    )
    for layer in artifact.layers:
        layer.watch(partial(_forget, session, planted, layer))
    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:

                async def stop_when_told() -> None:
                    async for number in signals:
                        log.info("%s: unmounting %s", signal.Signals(number).name, settings.mountpoint)
                        session.stop()

                async def serve(task_status: trio.TaskStatus[Session]) -> None:
                    await session.serve(task_status=task_status)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(stop_when_told)
                await nursery.start(serve)
                if settings.fill:
                    nursery.start_soon(fill, artifact.layers)
                if settings.scrub_bytes_per_second is not None:
                    nursery.start_soon(scrub_slowly, means.engine.cache, settings.scrub_bytes_per_second)
                if settings.tag_ttl_seconds and isinstance(means.repository, Repository) and means.reference.tag is not None:
                    meant = description.index or description.digest
                    nursery.start_soon(means.repository.watch_tag, means.reference, meant, settings.tag_ttl_seconds)
                log.info("mounted %s at %s, pid %d", name, settings.mountpoint, os.getpid())
                notices = (*artifact.notices, DEFERRED_NOTICE) if settings.source.deferred else artifact.notices
                try:
                    announce(Outcome(0, (f"{name} mounted at {settings.mountpoint}", *notices)))
                except BrokenPipeError:  # whoever asked for it was killed while waiting
                    log.info("nobody waits for this mount any more: unmounting %s", settings.mountpoint)
                    session.stop()
    finally:
        session.close(unmount=session.clean)
    log.info("unmounted %s", settings.mountpoint)
