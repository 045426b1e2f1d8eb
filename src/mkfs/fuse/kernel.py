"""What the kernel must grant before and after a mount: a device, a place, and its end. Needs no pyfuse3.

Rules of this file: the mount table says what is mounted; a file system that is mounted is asked only where its answer decides, and
then by a process that can be killed, because a mount whose process is stuck answers nobody.
"""

import ctypes
import errno
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from mkfs.errors import Busy, FuseUnavailable, MkfsError, MountpointUnusable
from mkfs.fuse.mountinfo import Mount, mount_at, mounts_of

log = logging.getLogger(__name__)

DEVICE: Final = Path("/dev/fuse")
DEVICE_NUMBER: Final = os.makedev(10, 229)  # of it, wherever it lies (linux/miscdevice.h, FUSE_MINOR): a container may have none
HELPER: Final = "fusermount3"  # setuid root; mounts and unmounts for everybody else
# A dead mount refuses at once. Whoever has not answered by then is alive and slow, and being wrong costs only a clearer message.
_ANSWER_SECONDS: Final = 2.0
_ASK: Final = """
import os, sys
try:
    os.statvfs(sys.argv[1])
except OSError as error:
    sys.exit(error.errno)
"""
_MNT_DETACH: Final = 2  # umount(2)
_UMOUNT_NOFOLLOW: Final = 8


def check_fuse(device: Path = DEVICE) -> None:
    """Returns if this machine and user can mount, as far as that can be told without mounting. Raises `FuseUnavailable`."""
    os.close(open_device(device))  # libfuse opens it before it asks the helper, so everybody must be able to
    if os.geteuid() != 0 and shutil.which(HELPER) is None:
        raise FuseUnavailable(f"{HELPER} not found", "needed to mount without being root", "install it: apt install fuse3")
    check_library()


def open_device(device: Path = DEVICE) -> int:
    """A descriptor of the device, fit to mount with. Raises `FuseUnavailable`."""
    if sys.platform != "linux":
        raise FuseUnavailable("mounting needs Linux", f"this is {sys.platform}", "ls, inspect, verify and index work here")
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        remedy = "its usual mode is 0666" if isinstance(error, PermissionError) else "load it with: modprobe fuse"
        hint = f"{remedy}; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
        raise FuseUnavailable(f"cannot open {device}: {error.strerror}", "the kernel's FUSE device", hint) from error


def check_library() -> None:
    """Returns if there is what serves a mount, whoever made it. Raises `FuseUnavailable`."""
    if importlib.util.find_spec("pyfuse3") is None:
        hint = "pip install pyfuse3 (which needs libfuse3-dev, pkg-config and gcc)"
        raise FuseUnavailable("pyfuse3 is not installed", f"for {sys.executable}", hint)


def check_mountpoint(path: Path) -> None:
    """Returns if something can be mounted at `path`. A dead mount of ours there is fine: `clear_dead_mount` comes before mounting.

    Raises `Busy` where something is mounted, `MountpointUnusable` where the directory is missing, no directory, or not empty.
    """
    place = resolve(path)
    mount = mount_at(place)
    if mount is not None:
        if _is_dead(mount):
            return
        raise Busy(f"{path} is already a mount point", mount.label, f"unmount it with: mkfs umount {path}" if mount.ours else "")
    try:
        with os.scandir(place) as entries:
            first = next(entries, None)
    except OSError as error:
        raise MountpointUnusable(f"cannot mount on {path}: {error.strerror}", hint="name an existing, empty directory") from error
    if first is not None:
        raise MountpointUnusable(f"cannot mount on {path}: not empty", f"holds {first.name!r}", "name an existing, empty directory")
    if os.geteuid() != 0 and not os.access(place, os.W_OK):  # the helper's rule, said in fewer words
        raise MountpointUnusable(f"cannot mount on {path}: no write permission", f"for uid {os.geteuid()}")


def clear_dead_mount(path: Path) -> bool:
    """Unmounts what a crashed process of ours left at `path`; says whether there was any. Raises as `unmount`."""
    place = resolve(path)
    cleared = False
    while (mount := mount_at(place)) is not None and _is_dead(mount):
        log.info("clearing the dead mount of %s at %s", mount.source, path)
        _unmount(place, lazy=True)  # files may still be open in it; they answer ENOTCONN already
        cleared = True
    return cleared


def unmount(path: Path, *, lazy: bool = False) -> None:
    """Unmounts ours at `path`. `lazy` takes it out of sight at once and ends it when the last user leaves.

    Raises `Busy` while somebody uses it, `MountpointUnusable` where nothing of ours is mounted, `MkfsError` where the kernel
    refuses.
    """
    _unmount(Path(os.fsdecode(ours_at(path).place)), lazy=lazy)


def ours_at(path: Path) -> Mount:
    """The uppermost mount at `path`. Raises `MountpointUnusable` where there is none, or it is not ours."""
    mount = mount_at(resolve(path))
    if mount is None:
        raise MountpointUnusable(f"{path} is not mounted")
    if not mount.ours:
        raise MountpointUnusable(f"{path} is not a mount of mkfs", mount.label, "unmount it with umount(8)")
    return mount


def unmount_connection(device: str, *, cut: bool) -> None:
    """Unmounts the file system `device` (`major:minor`) lazily wherever this process sees it: it may have been moved, or bound to
    further places. What others mounted over it stays, and it beneath that. Raises nothing; what fails is logged.

    `cut`: its connection is gone. If that was because somebody unmounted it, the next mount of anybody got its number at once; so
    only what is dead goes then.
    """
    for mount in mounts_of(device):
        place = Path(os.fsdecode(mount.place))
        top = mount_at(place)
        if top is None:  # gone with another one
            continue
        if top.device != device:
            log.warning("%s stays mounted beneath %s", mount.label, top.label)
            continue
        if cut and not _is_dead(mount):
            continue
        try:
            _unmount(place, lazy=True)
        except MkfsError as error:
            log.warning("%s", error)


def resolve(path: Path) -> Path:
    """`path` absolute and without symbolic links, touching no file system that is mounted at it."""
    path = path.absolute()
    if path.name not in ("", ".."):
        place = Path(os.path.realpath(path.parent)) / path.name
        if mount_at(place) is not None:
            return place
    return Path(os.path.realpath(path))


class Condition(Enum):
    """What a mount of ours answers when it is asked for its size."""

    ALIVE = "alive"  # something, be it that we may not know
    DEAD = "dead"  # its process is gone
    STUCK = "stuck"  # nothing, in good time


def condition(mount: Mount) -> Condition:
    """Asks `mount`, which must be ours, by a process that can be killed: statfs is never answered from a cache (stat is)."""
    asking = subprocess.Popen([sys.executable, "-ISc", _ASK, mount.place], stdin=subprocess.DEVNULL)
    try:
        return Condition.DEAD if asking.wait(_ANSWER_SECONDS) == errno.ENOTCONN else Condition.ALIVE
    except subprocess.TimeoutExpired:
        return Condition.STUCK
    finally:
        asking.kill()  # if it still waits: it would keep the mount busy
        with suppress(subprocess.TimeoutExpired):
            asking.wait(_ANSWER_SECONDS)


def _is_dead(mount: Mount) -> bool:
    """Whether `mount` is ours and its process is gone."""
    return mount.ours and condition(mount) is Condition.DEAD


def _unmount(place: Path, *, lazy: bool) -> None:
    busy = Busy(f"{place} is in use", "some process has a file or its working directory there", f"find it with: fuser -vm {place}")
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(place), _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)) == 0:
            return
        number = ctypes.get_errno()
        if number == errno.EBUSY:
            raise busy
        raise MkfsError(f"cannot unmount {place}: {os.strerror(number)}")
    command = [HELPER, "-u", *(["-z"] if lazy else []), "--", os.fspath(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise FuseUnavailable(f"cannot run {HELPER}: {error.strerror}", hint="install it: apt install fuse3") from error
    if done.returncode and "busy" in done.stderr:
        raise busy
    if done.returncode:
        raise MkfsError(f"cannot unmount {place}", done.stderr.strip()[:200])
