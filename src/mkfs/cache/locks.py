"""Who works on what of a layer, told between processes: so that each byte is fetched once per node.

Theory. One descriptor per layer and process on `locks/<algorithm>/<hex>`, and locks of its open file description on single bytes
(fcntl(2), "Open file description locks"): byte n is chunk n, byte 2**62 the whole layer. The kernel frees them when the process
dies, however it dies. Nobody ever waits for one in the kernel: such a wait burns a thread that cannot be cancelled. Who does not
get a lock tries again later, and watches the holder's *progress*, a number in the file that the holder changes at least once a
second while bytes come; where it stands still for `OVERTAKE_SECONDS`, the waiter goes on without the lock.

So a lock saves bytes and never guards them: a stopped holder that wakes up late publishes what was verified, as everybody does.
Where a file system has no such locks, every try succeeds.

Not promised: exclusion within the process. A second lock on the same descriptor excludes nobody; that is the flights' part. The
locks do not survive a fork, and a whole layer's lock says nothing about its chunks.
"""

import errno
import fcntl
import logging
import os
import struct
import threading
import time
import weakref
from typing import Final, final

from mkfs.cache.files import FILE_MODE, OpenFile
from mkfs.cache.layout import Layout
from mkfs.oci.digest import Digest

logger = logging.getLogger(__name__)

OVERTAKE_SECONDS: Final = 10.0  # a holder shows progress ten times in this
_WHOLE_LAYER: Final = 1 << 62  # behind every chunk, and a byte that a lock may be put on (off_t is signed)
# struct flock of Linux on 64 bits: type, whence, start, length, pid (0 for these locks), padded.
_FLOCK: Final = struct.Struct("@hhqqi0q")
_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES})
_PROGRESS: Final = struct.Struct("<Q")  # one per lock: the whole layer's first, then the chunks' in order


@final
class LayerLock:
    """The locks of one layer for this process; `Locks.get` gives every caller the same object. None of its calls waits for anybody.

    `number` is a chunk's; None means the whole layer.
    """

    __slots__ = ("__weakref__", "_file")

    def __init__(self, file: OpenFile | None) -> None:
        """`file`: open for reading and writing; without one every try succeeds."""
        self._file = file

    def try_chunk(self, number: int) -> bool:
        """Whether chunk `number` is now ours to fetch. True as well when it was already."""
        return self._try(number)

    def try_layer(self) -> bool:
        """Whether the layer is now ours to fetch whole. True as well when it was already."""
        return self._try(_WHOLE_LAYER)

    def release_chunk(self, number: int) -> None:
        """Lets the next one have chunk `number`. Harmless without the lock; raises nothing."""
        self._set(fcntl.F_UNLCK, number)

    def release_layer(self) -> None:
        """Lets the next one have the whole layer. Harmless without the lock; raises nothing."""
        self._set(fcntl.F_UNLCK, _WHOLE_LAYER)

    def is_idle(self) -> bool:
        """Whether no process holds any of these locks. Takes them all for good where it is so: for whoever removes the file."""
        return self._file is not None and self._set(fcntl.F_WRLCK, 0, 0) is None

    def bump(self, number: int | None = None) -> None:
        """Shows who waits for this lock that work on it goes on: at least once a second while bytes come. Raises nothing."""
        if self._file is not None:
            try:
                os.pwrite(self._file.fd, _PROGRESS.pack(time.monotonic_ns()), _progress_at(number))
            except OSError as error:  # a full disk, mostly: then we are overtaken, which costs bytes and nothing else
                logger.debug("cannot show progress on a lock: %s", error)

    def progress(self, number: int | None = None) -> int:
        """A number that another one than before means progress. Raises nothing."""
        if self._file is None:
            return 0
        try:
            return int.from_bytes(os.pread(self._file.fd, _PROGRESS.size, _progress_at(number)), "little")
        except OSError:
            return 0

    def _try(self, byte: int) -> bool:
        error = self._set(fcntl.F_WRLCK, byte)
        return error is None or error.errno not in _TAKEN

    def _set(self, kind: int, byte: int, length: int = 1) -> OSError | None:
        if self._file is None:
            return None
        try:
            fcntl.fcntl(self._file.fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, length, 0))
        except OSError as error:
            if error.errno not in _TAKEN:
                logger.debug("cannot lock: %s", error)
            return error
        return None


@final
class Overtaking:
    """One waiter's patience with the holder of a lock: pure, told the time (seconds of any clock that never goes back)."""

    __slots__ = ("_progress", "_since")

    def __init__(self, progress: int, now: float) -> None:
        self._progress, self._since = progress, now

    def may_overtake(self, progress: int, now: float) -> bool:
        """Whether the holder showed no progress for `OVERTAKE_SECONDS`: then go on without the lock."""
        if progress != self._progress:
            self._progress, self._since = progress, now
        return now - self._since >= OVERTAKE_SECONDS


@final
class Locks:
    """The locks of one cache by layer: one object, and so one descriptor, per layer while somebody holds it. Any thread may ask."""

    __slots__ = ("_layout", "_lock", "_locks")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._locks: weakref.WeakValueDictionary[Digest, LayerLock] = weakref.WeakValueDictionary()

    def get(self, digest: Digest) -> LayerLock:
        """The lock of layer `digest`. Where its file cannot be had it excludes nobody; that is logged. Blocks for the open."""
        with self._lock:
            lock = self._locks.get(digest)
            if lock is None:
                lock = self._locks[digest] = LayerLock(self._open(digest))
        return lock

    def _open(self, digest: Digest) -> OpenFile | None:
        try:
            place = self._layout.lock(digest)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            return OpenFile(os.open(place.name, flags, FILE_MODE, dir_fd=place.directory.fd))
        except OSError as error:
            logger.info("layer %s cannot be locked, other processes may fetch the same bytes: %s", digest, error)
            return None


def _progress_at(number: int | None) -> int:
    return 0 if number is None else (number + 1) * _PROGRESS.size
