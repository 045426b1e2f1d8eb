"""One mounted session: mount, serve, stop, and what is left behind.

Theory. A mount that vanishes looks like an empty directory, and a tool that mirrors or deletes by comparing would believe it. So
only who says `stop()` (or unmounts from outside) ends with an unmounted directory; whatever else ends the session, a crash or a
cancelled nursery, leaves the mount, and every path in it answers ENOTCONN until the next mount clears it. `clean` tells which:

    session = mount(file_system, options)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(session.serve)  # readable now
            ...                                 # session.stop() when told to
    finally:
        session.close(unmount=session.clean)
"""

import errno
import fcntl
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, final

import pyfuse3
import trio
from msgspec import Struct
from pyfuse3 import InodeT

from mkfs.errors import FuseUnavailable, MountpointUnusable
from mkfs.fuse.connection import Tuning, tune
from mkfs.fuse.handover import check_descriptor, descriptor_of, device_of
from mkfs.fuse.kernel import check_fuse, check_library, check_mountpoint, clear_dead_mount, resolve, unmount_connection
from mkfs.fuse.mountinfo import SUBTYPE, mount_at, spelled
from mkfs.fuse.nonblocking import is_cut, never_block, prepare_loop
from mkfs.fuse.operations import Operations
from mkfs.fuse.requests import FuseStatistics
from mkfs.vfs.model_fs import ModelFS

log = logging.getLogger(__name__)

# A task per request that waits. Twice max_background: look-ups and O_DIRECT reads are not background, and must find one left.
MAX_TASKS: Final = 1024
# A handed descriptor holds the kernel's greeting already. Beyond this somebody else took it, and no other will come.
GREETING_SECONDS: Final = 10.0
# What to do about libfuse's words, by a part of them.
_HINTS: Final = {
    "user_allow_other": "add the line user_allow_other to /etc/fuse.conf, or mount without --allow-other",
    "not permitted": "in a container: --device /dev/fuse --cap-add SYS_ADMIN (and no AppArmor profile that forbids mounting)",
    "write access": "mount on a directory of your own",
}


@final
class MountOptions(Struct, frozen=True):
    """How to mount. `name` is what mount(8) and df show as the device: the reference with its digest.

    `mountpoint` may be `/dev/fd/N`, see `fuse.handover`; then whoever mounted has chosen `name` and `allow_other`.
    """

    mountpoint: Path
    name: str
    allow_other: bool = False  # everybody may look; modes decide what they see
    read_timeout_seconds: float = 300  # for O_DIRECT reads, which no signal can end
    xattr: bool = False  # answer getxattr and listxattr; see `fuse.operations`
    noexec: bool = False  # the kernel runs no program of it


@final
class Session:
    """The mount of this process. Made by `mount`, which see; `close` it on every way out."""

    def __init__(
        self, operations: Operations, mountpoint: Path, device: str, descriptors: list[int], *, handed: bool = False
    ) -> None:
        self.mountpoint, self.device = mountpoint, device  # device: `major:minor` of the mount table, "" where that is unknown
        self.handed = handed  # whether another process mounted; it unmounts, too, and turns the kernel's knobs
        self.tuning: Tuning | None = None  # known once it serves
        self.clean = True  # whether it may be unmounted: nobody was served yet, or serving ended as it should
        self._operations, self._descriptors = operations, descriptors  # of the kernel's device
        self._scope = trio.CancelScope()
        self._draining = False

    async def serve(self, *, task_status: trio.TaskStatus["Session"] = trio.TASK_STATUS_IGNORED) -> None:
        """Answers requests until `stop()` is called or somebody unmounts. Reports itself started when the directory is readable.

        Raises `MountpointUnusable` where somebody unmounts before that, `FuseUnavailable` where it was handed to us and another
        process served it. Cancelling it drops the requests under way: their callers wait until `close`, then get ENOTCONN or
        ECONNABORTED.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report, task_status)
                await pyfuse3.main(max_tasks=MAX_TASKS)  # the number of idle tasks kept, 1 to 10, made no difference
                if self.clean:  # not reported yet
                    raise MountpointUnusable(f"{self.mountpoint} was unmounted before it was readable", hint="mount it again")
                nursery.cancel_scope.cancel()
        self.clean = True

    async def _report(self, task_status: trio.TaskStatus["Session"]) -> None:
        with trio.move_on_after(GREETING_SECONDS if self.handed else math.inf):
            await self._operations.ready.wait()
        if not self._operations.ready.is_set():
            raise FuseUnavailable(f"{self.mountpoint}: the kernel did not greet us", "somebody else served it before", "mount anew")
        if not self.handed:
            self.tuning = tune(self.device)  # not before: INIT's answer sets the same values
        self.clean = False
        task_status.started(self)

    async def forget(self, inodes: Iterable[int]) -> None:
        """Has the kernel forget what it keeps of the content of these inodes. Pages that are mapped stay mapped.

        In a thread: the kernel waits for reads of the same pages that we have not answered yet.
        """

        def forget() -> None:
            for inode in inodes:
                try:
                    pyfuse3.invalidate_inode(InodeT(inode))
                except OSError as error:
                    if error.errno != errno.ENOENT:  # else it never heard of it
                        log.warning("the kernel does not forget inode %d: %s", inode, error.strerror)

        await trio.to_thread.run_sync(forget)

    async def drain(self, seconds: float) -> None:
        """Returns when no read waits any more: answered within `seconds`, else refused with EIO. Reads that come later wait no
        longer than these. To be followed by `stop`. Cancelled, it refuses them all now.
        """
        self._draining = True
        await self._operations.waiting.end(seconds)

    @property
    def stopping(self) -> bool:
        """Whether it was told to end: it answers what is under way, and then no more."""
        return self._draining or self._scope.cancel_called

    def statistics(self) -> FuseStatistics:
        """A snapshot of what the kernel asked and was told."""
        return self._operations.requests.snapshot()

    def stop(self) -> None:
        """Ends `serve`, whatever waits. To be followed by `close(unmount=True)`."""
        self._scope.cancel()

    def close(self, *, unmount: bool) -> None:
        """Cuts the connection to the kernel, and with `unmount` takes the mount away as well, lazily: open files do not hinder it.

        Without, the mount stays and answers ENOTCONN, and so does one that was handed to us, until whoever mounted it unmounts.
        Call it once, outside `serve`. What is unmounted is what the mount table says is ours, wherever it is by now: libfuse would
        unmount whatever has taken our place since somebody unmounted us lazily.
        """
        if unmount:
            self.unmount()
        pyfuse3.close(unmount=unmount and not self._known)

    def unmount(self) -> None:
        """Takes the mount away, lazily and wherever it is, where the mount table says which it is and nobody else unmounts it.
        Blocks, for a moment. Raises nothing.
        """
        if self._known:
            unmount_connection(self.device, cut=is_cut(self._descriptors))

    @property
    def _known(self) -> bool:
        return bool(self.device) and not self.handed


def mount(file_system: ModelFS, options: MountOptions) -> Session:
    """Mounts; nobody gets an answer before `Session.serve` runs. A dead mount of ours at the same place is cleared first.

    Once per process: pyfuse3 keeps its session in module globals. Raises `FuseUnavailable`, `MountpointUnusable`, `Busy`.
    """
    place = options.mountpoint
    handed = descriptor_of(place)
    if handed is not None:
        check_library()
        check_descriptor(handed)
    else:
        check_fuse()
        clear_dead_mount(place)
        check_mountpoint(place)
        place = resolve(place)
    operations = Operations(file_system, options.read_timeout_seconds, xattr=options.xattr)
    descriptors = prepare_loop()
    words = _init(operations, place, _kernel_options(options))
    if words:
        hint = _HINTS.get(next((sign for sign in _HINTS if sign in words), ""), "")
        raise FuseUnavailable(f"cannot mount on {options.mountpoint}", words, hint)
    never_block(descriptors)
    if handed is not None:
        fcntl.fcntl(handed, fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # it was inherited, and goes to nobody else
        return Session(operations, place, device_of(handed), descriptors, handed=True)
    mounted = mount_at(place)
    return Session(operations, place, mounted.device if mounted else "", descriptors)


def _kernel_options(options: MountOptions) -> set[str]:
    """Not built on pyfuse3.default_options, which changed between releases."""
    name = spelled(options.name).replace("\\", "\\\\").replace(",", "\\,")  # libfuse cuts options at commas
    chosen = {f"fsname={name}", f"subtype={SUBTYPE}", "ro", "nosuid", "nodev", "default_permissions"}
    asked = {"allow_other": options.allow_other, "noexec": options.noexec}
    return chosen | {word for word, wanted in asked.items() if wanted}


def _init(operations: Operations, place: Path, options: set[str]) -> str:
    """Mounts; returns the reason if that failed. libfuse and its helper tell it on standard error only: caught for the call."""
    words = os.memfd_create("libfuse", os.MFD_CLOEXEC)
    standard_error = os.dup(2)
    os.dup2(words, 2)
    try:
        pyfuse3.init(operations, os.fspath(place), options)
    except RuntimeError as error:
        lines = os.pread(words, 4096, 0).decode(errors="replace").split("\n")
        return next((line for line in lines if line.strip()), str(error))[:200]
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(words)
    return ""
