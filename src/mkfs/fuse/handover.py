"""A mount that one process makes and another serves: the descriptor of /dev/fuse is handed over. Needs no pyfuse3.

Theory. mount(2) needs CAP_SYS_ADMIN; answering requests needs nothing but the descriptor that the mount was made with. So a small
program with the capability opens the device, mounts, and gives the descriptor away, and the process that talks to registries and
reads what strangers packed may be anybody. It finds the descriptor by its number: `/dev/fd/N` in the place of a directory, the form
that libfuse knows (fuse_session_mount). Who mounted unmounts: libfuse does nothing of the kind for such a place.

The kernel greets once, right after mount(2), and the greeting waits in the descriptor. Who answered it alone can go on with the
mount: so a descriptor can be handed over before it is served, never after.
"""

import ctypes
import os
import re
import select
import stat
from pathlib import Path
from typing import Final, final

from msgspec import Struct

from mkfs.errors import FuseUnavailable, MountpointUnusable
from mkfs.fuse.kernel import DEVICE, DEVICE_NUMBER, check_mountpoint, clear_dead_mount, open_device, resolve
from mkfs.fuse.mountinfo import FILE_SYSTEM, connection_in, mounts_of, spelled

_PLACE: Final = re.compile(r"/dev/fd/([0-9]{1,9})", re.ASCII)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4  # mount(2)
_FDINFO: Final = Path("/proc/self/fdinfo")


@final
class Handed(Struct, frozen=True):
    """A mount to be served by `uid` and `gid`: the kernel lets nobody else in unless `allow_other`. `name` is what mount(8)
    shows as the device.
    """

    place: Path
    uid: int
    gid: int
    name: str = "kitfs"
    allow_other: bool = True


def descriptor_of(path: Path) -> int | None:
    """N of `/dev/fd/N`, None for every other path. Asks no file system."""
    found = _PLACE.fullmatch(os.fspath(path))
    return int(found[1]) if found else None


def check_descriptor(number: int) -> None:
    """Returns if descriptor `number` is that of a mount whom nobody has served yet. Raises `MountpointUnusable`."""
    what, where = f"cannot serve /dev/fd/{number}", "(expected a mounted descriptor of /dev/fuse)"
    hint = "start it with: kitfs handover exec DIR --user UID -- kitfs mount REF /dev/fd/3 --foreground"
    try:
        about = os.fstat(number)
    except OSError as error:
        raise MountpointUnusable(f"{what}: not open {where}", hint=hint) from error
    if not stat.S_ISCHR(about.st_mode) or about.st_rdev != DEVICE_NUMBER:
        raise MountpointUnusable(f"{what}: got {Path(f'/proc/self/fd/{number}').readlink()} {where}", hint=hint)
    poll = select.poll()
    poll.register(number, select.POLLIN)
    seen = dict(poll.poll(0)).get(number, 0)
    if seen & select.POLLERR:
        raise MountpointUnusable(f"{what}: nothing is mounted with it, or not any more", "mount(2) comes first: fd=N,…", hint)
    if not seen & select.POLLIN:
        raise MountpointUnusable(
            f"{what}: another process has served this mount", "the kernel greets once", "unmount, and mount anew"
        )


def device_of(number: int) -> str:
    """`major:minor` of the mount behind descriptor `number`, as the mount table has it; "" where the kernel does not say."""
    connection = connection_in((_FDINFO / str(number)).read_text())
    return f"0:{connection}" if connection else ""


def place_of(number: int) -> Path | None:
    """Where this process sees the mount behind descriptor `number`; None where it does not: it may be in another namespace."""
    device = device_of(number)
    mount = next(iter(mounts_of(device)), None) if device else None
    return None if mount is None else Path(os.fsdecode(mount.place))


def mount_to_hand_over(wanted: Handed) -> int:
    """Mounts at `wanted.place`, where a dead mount of ours is cleared first. The descriptor, not inheritable yet; whoever looks at
    the place waits until somebody serves it, or the last copy of the descriptor is closed.

    Raises `MountpointUnusable`, `Busy`, and `FuseUnavailable` where this process may not mount.
    """
    descriptor = open_device(DEVICE)
    try:
        clear_dead_mount(wanted.place)
        check_mountpoint(wanted.place)
        _mount(descriptor, resolve(wanted.place), wanted)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mount(descriptor: int, place: Path, wanted: Handed) -> None:
    options = f"fd={descriptor},rootmode={stat.S_IFDIR:o},user_id={wanted.uid},group_id={wanted.gid},default_permissions"
    if wanted.allow_other:
        options += ",allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    if libc.mount(spelled(wanted.name).encode(), os.fsencode(place), FILE_SYSTEM.encode(), flags, options.encode()) != 0:
        hint = "mounting needs CAP_SYS_ADMIN; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
        raise FuseUnavailable(f"cannot mount on {wanted.place}: {os.strerror(ctypes.get_errno())}", "mount(2)", hint)
