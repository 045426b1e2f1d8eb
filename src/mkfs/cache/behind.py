"""Pages given back behind readers: what was answered from a stored file's pages lies in the mount's own by then.

Theory. The kernel keeps the pages of a mount as well as those of the files we answer from, so every byte that is read sits twice in
memory. When all of a chunk has been answered from the page cache, its pages are of no use to that reader any more; whoever wants
them after all gets them from the disk, hashed (as any other process would: it trusts no pages that it has not hashed). Pages that
are not on the disk yet cannot be given back, so the advice is given twice: the first starts writing them, the second, some steps
later, finds them clean. On a disk that is slower than its readers they stay, and are the kernel's to take.

In a thread of its own, because starting to write may wait for the disk. The last steps are left alone until more comes. Files are
not kept open for this: what nobody has open any more is left as it is.
"""

import os
import queue
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Final, final

from mkfs.cache.files import OpenFile
from mkfs.ranges import ByteRange
from mkfs.units import MIB

# Handed to the thread at once: a step costs some 20 µs besides its pages. In all, 0.08 CPU-seconds per GiB.
_STEP_BYTES: Final = 8 * MIB
# Between the two advices: at 2 GB/s 16 ms, in which the disk has to write one step.
_LAG_STEPS: Final = 4
_END_SECONDS: Final = 5.0

_Step = list[tuple[weakref.ref[OpenFile], ByteRange]]


@final
class Behind:
    """Gives pages back. Any thread may call; only `close` waits, and nothing raises."""

    __slots__ = ("_gathered", "_gathered_bytes", "_lock", "_steps", "_thread")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gathered: _Step = []
        self._gathered_bytes = 0
        self._steps: queue.SimpleQueue[_Step | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def passed(self, file: OpenFile, stored: ByteRange) -> None:
        """Says that the bytes `stored` of `file` have all been answered from the page cache."""
        with self._lock:
            last = self._gathered[-1] if self._gathered else None
            if last is not None and last[0]() is file and last[1].stop == stored.start:
                self._gathered[-1] = last[0], ByteRange(last[1].start, stored.stop)
            else:
                self._gathered.append((weakref.ref(file), stored))
            self._gathered_bytes += stored.length
            if self._gathered_bytes < _STEP_BYTES:
                return
            self._steps.put(self._gathered)
            self._gathered, self._gathered_bytes = [], 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pages given back", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the work when the steps at hand are done; a disk that hangs is not waited for. What comes later begins anew."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._steps.put(None)
            thread.join(_END_SECONDS)

    def _work(self) -> None:
        begun: deque[_Step] = deque()
        while (step := self._steps.get()) is not None:
            _advise(step)
            begun.append(step)
            if len(begun) > _LAG_STEPS:
                _advise(begun.popleft())


def _advise(step: _Step) -> None:
    """Starts writing what is dirty, drops what is clean."""
    for reference, stored in step:
        file = reference()
        if file is not None:
            with suppress(OSError):  # a file system that knows no such advice: pages stay
                os.posix_fadvise(file.fd, stored.start, stored.length, os.POSIX_FADV_DONTNEED)
        del file
