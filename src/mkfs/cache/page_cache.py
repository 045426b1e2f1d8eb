"""The kernel's page cache as a source of hits: asked first, then read, so that nothing unhashed is ever brought in.

Theory. Pages of a published file come from the writes that staged it, and those bytes were proven: whoever finds them still in
memory may answer from them. `preadv(RWF_NOWAIT)` reads without waiting, but a miss is not harmless: older kernels start no read,
newer ones start readahead and then answer EAGAIN (seen on 6.18). Pages that come in that way were hashed by nobody, and every
process on the machine would find them. So `cachestat(2)` is asked first where the kernel has it, from 6.5 on, and `RWF_NOWAIT` is
used only where all pages are there. A newer kernel that may not be asked (a filter of system calls) gives no hits from here.

What is left: pages dropped between the two calls. Such a miss reads no more than the pages asked for (`POSIX_FADV_RANDOM`) and is
reported as `LOST`, so that the caller stops taking that chunk from memory.
"""

import ctypes
import mmap
import os
import re
from enum import Enum
from typing import Final, final

from mkfs.cache.files import OpenFile

_CACHESTAT: Final = 451  # the system call's number, the same on every architecture but alpha
_CACHESTAT_SINCE: Final = (6, 5)  # older kernels do not have it, and start no read on a miss


@final
class Outcome(Enum):
    """How a read from the page cache went."""

    FULL = "all bytes came"
    ABSENT = "not all pages are there; nothing was read"
    LOST = "pages went between asking and reading"


class _Window(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Pages(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted"))


@final
class PageCache:
    """Asks and reads what is in memory. Never waits for a disk; any thread may call. `cachestat`: whether this kernel has it."""

    __slots__ = ("_syscall",)

    def __init__(self, *, cachestat: bool) -> None:
        # PyDLL: the call never sleeps, and letting go of the interpreter's lock can cost the loop 5 ms until it has it again.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall if cachestat else None
        if self._syscall is not None:
            self._syscall.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
            self._syscall.restype = ctypes.c_long

    def read(self, file: OpenFile, target: memoryview, offset: int) -> Outcome:
        """Fills `target` (not empty) from `offset` on if every byte is in memory. Raises `OSError` where that cannot be asked."""
        if self._syscall is not None:
            pages = (offset + len(target) - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
            if self.count(file, offset, len(target)) != pages:
                return Outcome.ABSENT
        try:
            got = os.preadv(file.fd, [target], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            got = 0
        if got == len(target):
            return Outcome.FULL
        return Outcome.ABSENT if self._syscall is None else Outcome.LOST

    def is_empty(self, file: OpenFile, length: int) -> bool:
        """Whether nothing of the first `length` bytes of `file` is in memory. Raises `OSError` where that cannot be asked."""
        if self._syscall is not None:
            return self.count(file, 0, length) == 0
        return self.read(file, memoryview(bytearray(1)), 0) is Outcome.ABSENT

    def count(self, file: OpenFile, offset: int, length: int) -> int:
        """How many pages of `[offset, offset + length)` are in memory. Only with cachestat."""
        if self._syscall is None:
            raise ValueError("this kernel has no cachestat")
        window, pages = _Window(offset, length), _Pages()
        if self._syscall(_CACHESTAT, file.fd, ctypes.byref(window), ctypes.byref(pages), 0):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(pages.cached)


def kernel_has_cachestat(release: str) -> bool:
    """Whether a Linux of `release` (`uname -r`) has cachestat, and may read on a miss. True where in doubt: then it is asked."""
    version = re.match(r"(\d+)\.(\d+)", release, re.ASCII)
    return version is None or (int(version[1]), int(version[2])) >= _CACHESTAT_SINCE
