"""How much memory this process may use: the least that its cgroups, of either version, and the machine allow.

A cgroup is bound by its own limit and those of all above it. Where its directory is, the mount table and /proc/self/cgroup say
together; in a container without a cgroup namespace, the mount shows a part of the hierarchy, and the path is the host's.

Sources: cgroups(7), proc_pid_mountinfo(5); Linux, Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.high) and
cgroup-v1/memory.rst (memory.limit_in_bytes).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from mkfs.fuse.mountinfo import Mount, parse_mountinfo
from mkfs.units import KIB

_V2_FILES: Final = ("memory.max", "memory.high")
_V1_FILES: Final = ("memory.limit_in_bytes",)
# Version 1 writes "no limit" as the largest whole number of pages; nobody has an exbibyte.
_NO_LIMIT_BYTES: Final = 2**60

Read = Callable[[str], str]  # the text of a file; raises `OSError` where there is none


def memory_limit(read: Read = lambda path: Path(path).read_text("utf-8", "surrogateescape")) -> int | None:
    """Bytes this process may use; None where nothing says. Raises nothing."""
    limits = []
    with suppress(OSError):
        limits.append(_total(read("/proc/meminfo")))
    with suppress(OSError):
        for path in limit_files(read("/proc/self/cgroup"), os.fsencode(read("/proc/self/mountinfo"))):
            with suppress(OSError):
                limits.append(_limit(read(path)))
    return min((limit for limit in limits if limit is not None), default=None)


def limit_files(cgroup: str, mountinfo: bytes) -> Iterator[str]:
    """The files, some of which may not exist, that limit a process with this /proc/self/cgroup and this mount table."""
    mounts = parse_mountinfo(mountinfo)
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            here = [mount for mount in mounts if mount.file_system == "cgroup2"]
        elif "memory" in controllers.split(","):
            here = [mount for mount in mounts if mount.file_system == "cgroup" and "memory" in mount.options]
        else:
            continue
        for mount in here:
            for directory in _directories(mount, path):
                for name in _V1_FILES if controllers else _V2_FILES:
                    yield str(directory / name)


def _directories(mount: Mount, path: str) -> Iterator[PurePosixPath]:
    """Our cgroup's directory and all above it that the mount shows; its top alone where it does not show ours."""
    place, root = PurePosixPath(os.fsdecode(mount.place)), os.fsdecode(mount.root)
    within = PurePosixPath(path)
    names = within.relative_to(root).parts if within.is_relative_to(root) and ".." not in within.parts else ()
    for depth in range(len(names), -1, -1):
        yield place.joinpath(*names[:depth])


def _limit(text: str) -> int | None:
    word = text.strip()
    return int(word) if word.isdecimal() and int(word) < _NO_LIMIT_BYTES else None


def _total(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * KIB
    return None
