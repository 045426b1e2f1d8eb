"""The kernel's version and its numbers about FUSE: Documentation/admin-guide/sysctl/fs.rst."""

import os

from mkfs.service.doctor.judging.kernel import ReadAhead, Release, Requests, Timeouts
from mkfs.service.doctor.situation import Situation

_FUSE = "/proc/sys/fs/fuse"
_BDI = "/sys/class/bdi"


def release(_situation: Situation) -> Release:
    """As `uname` says."""
    name = os.uname()
    return Release(name.sysname, name.release, name.machine)


def release_name(_situation: Situation) -> str:
    """Its release alone."""
    return os.uname().release


def requests(situation: Situation) -> Requests:
    """How large they may be."""
    return Requests(os.uname().release, situation.machine.number(f"{_FUSE}/max_pages_limit"))


def read_ahead(situation: Situation) -> ReadAhead:
    """Whether /sys is there to be written. A bdi appears with its mount, so one cannot be tried."""
    path = situation.machine.path(_BDI)
    try:
        writable = not os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:
        writable = False
    return ReadAhead(situation.root, writable)


def timeouts(situation: Situation) -> Timeouts:
    """The kernel's, and ours."""
    default, longest = (situation.machine.number(f"{_FUSE}/{name}_request_timeout") for name in ("default", "max"))
    return Timeouts(default, longest, situation.read_timeout_seconds)
