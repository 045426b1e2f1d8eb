"""Who is mounted where: /proc/self/mountinfo (proc_pid_mountinfo(5)). Reading it asks no file system anything, so it can't hang."""

import os
import re
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from msgspec import Struct

SUBTYPE: Final = "kitfs"  # never "mkfs": mount(8) would run the disk formatter as the helper of "fuse.mkfs"
FILE_SYSTEM: Final = f"fuse.{SUBTYPE}"
_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_CONNECTION: Final = re.compile(r"^fuse_connection:\s*([0-9]+)$", re.MULTILINE)
_OCTAL: Final = re.compile(rb"\\([0-3][0-7]{2})")  # space, tab, newline and backslash are written so


@final
class Mount(Struct, frozen=True):
    """One line: `device` is `major:minor`, `place` the mount point, `file_system` its type, `source` what mount(8) shows, `root`
    what of the file system is there, `options` the file system's own.
    """

    device: str
    place: bytes
    file_system: str
    source: str
    root: bytes
    options: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Whether a process of ours made it, alive or not."""
        return self.file_system == FILE_SYSTEM

    @property
    def connection(self) -> str:
        """The number of its FUSE connection, as fusectl and fdinfo have it."""
        return self.device.partition(":")[2]

    @property
    def user(self) -> int | None:
        """The uid of who mounted it, where the file system says that (FUSE does)."""
        told = next((option for option in self.options if option.startswith("user_id=")), "")
        return int(told[8:]) if told[8:].isdecimal() else None

    @property
    def label(self) -> str:
        """What is mounted, for a message."""
        return f"{self.source} ({self.file_system})"


def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """All mounts in the order of the file: of two at one place the later lies on top. Lines that make no sense are skipped."""
    mounts = []
    for line in data.split(b"\n"):  # and at nothing else: the kernel leaves a carriage return as it is
        before, separator, after = line.partition(b" - ")  # between them: any number of optional fields
        left, right = before.split(b" "), after.split(b" ")
        if separator and len(left) >= 6 and len(right) >= 2:
            device, root, place = os.fsdecode(left[2]), _plain(left[3]), _plain(left[4])
            kind, source, options = (os.fsdecode(_plain(field)) for field in (right[0], right[1], b"".join(right[2:3])))
            mounts.append(Mount(device, place, kind, source, root, tuple(options.split(","))))
    return tuple(mounts)


def mount_at(place: Path) -> Mount | None:
    """The uppermost mount exactly at `place` (absolute, without symbolic links), or None."""
    wanted = os.fsencode(place)
    return next((mount for mount in reversed(mounts()) if mount.place == wanted), None)


def mounts() -> tuple[Mount, ...]:
    """All mounts that this process sees, as `parse_mountinfo` has them: what lies on or in another one comes after it."""
    return parse_mountinfo(_MOUNTINFO.read_bytes())


@contextmanager
def changes() -> Iterator[Callable[[float | None], bool]]:
    """What waits for a change of the mount table since the block began, or since it said so last: for so many seconds (None: for
    as long as it takes), and says whether there was one. The kernel tells (proc_pid_mountinfo(5): POLLPRI), so nothing is polled.
    """
    with _MOUNTINFO.open("rb", buffering=0) as table:
        poller = select.poll()
        poller.register(table, select.POLLPRI)

        def changed(timeout_seconds: float | None) -> bool:
            return bool(poller.poll(None if timeout_seconds is None else max(0, timeout_seconds * 1000)))

        yield changed


def mounts_of(device: str) -> tuple[Mount, ...]:
    """Where the file system `device` (`major:minor`) can be seen, bind mounts included, the last mounted first."""
    return tuple(mount for mount in reversed(mounts()) if mount.device == device)


def connection_in(fdinfo: str) -> str:
    """The FUSE connection of a descriptor, by its file in /proc/PID/fdinfo (Linux 6.15); "" where that does not say."""
    found = _CONNECTION.search(fdinfo)
    return found[1] if found else ""


def spelled(name: str) -> str:
    """`name` as the source of a mount: in ASCII, which is what pyfuse3 takes, and in one line, as mount tables have them."""
    return name.encode("unicode_escape").decode("ascii")


def unspelled(source: str) -> str:
    """What `spelled` made it of. Raises `ValueError` for what it did not make."""
    return source.encode("ascii").decode("unicode_escape")


def _plain(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)
