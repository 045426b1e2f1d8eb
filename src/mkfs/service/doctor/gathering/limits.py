"""Limits of this process: cgroups(7), getrlimit(2)."""

import os
import resource
from contextlib import suppress

from mkfs.service.doctor.judging.limits import Memory
from mkfs.service.doctor.situation import Situation
from mkfs.service.memory_limit import limit_files, memory_limit


def memory(situation: Situation) -> Memory:
    """What `service.memory_limit` finds, and the file it is from."""

    def read(path: str) -> str:
        text = situation.machine.text(path)
        if text is None:
            raise FileNotFoundError(path)
        return text

    limit = memory_limit(read)
    if limit is None:
        return Memory(None, "")
    origin = "the machine's memory"
    with suppress(FileNotFoundError):
        for path in limit_files(read("/proc/self/cgroup"), os.fsencode(read("/proc/self/mountinfo"))):
            if situation.machine.text(path) == str(limit):
                return Memory(limit, path)
    return Memory(limit, origin)


def files(_situation: Situation) -> int | None:
    """The hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard
