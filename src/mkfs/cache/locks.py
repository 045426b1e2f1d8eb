"""Who works on what of a layer, told between processes: so that each byte is fetched once per node.

Theory. One descriptor per layer and process on `locks/<algorithm>/<hex>`, and locks of its open file description on single bytes
(fcntl(2), "Open file description locks"): a few bytes for each chunk, and a few from 2**62 on for the whole layer. The kernel frees
them when the process dies, however it dies. Nobody ever waits for one in the kernel: such a wait burns a thread that cannot be
cancelled. Who does not get a lock tries again later, and watches the holder's *progress*, a number in the file that the holder
changes at least once a second while bytes come; where it stands still for `OVERTAKE_SECONDS`, the holder may be overtaken.

The first byte of a lock is the holder's, the next one is for who overtakes him, and so on: thirty who wait for a stopped process
lose patience at the same moment, one of them gets the next byte and goes on, and the others wait for that one. Only who has a byte
and finds all later ones free may fetch. Who was overtaken finds it out by the progress, which is not what he wrote last.

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

from mkfs.cache.files import OpenFile, made_anyway
from mkfs.cache.layout import Layout
from mkfs.oci.digest import Digest

logger = logging.getLogger(__name__)

OVERTAKE_SECONDS: Final = 10.0  # a holder shows progress ten times in this
_LONGEST_STEP_SECONDS: Final = 1.0  # between two looks of a waiter that runs
# Bytes of a lock: the holder's, and three for those who overtake one another. Who comes after them goes on without a lock: where it
# is the registry that stands still, everybody shall find that out for himself within a minute or so.
_RANKS: Final = 4
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

    __slots__ = ("__weakref__", "_file", "_shown")

    def __init__(self, file: OpenFile | None) -> None:
        """`file`: open for reading and writing; without one every try succeeds."""
        self._file = file
        self._shown: dict[int | None, int] = {}  # the progress we wrote last, of locks that were waited for

    def try_chunk(self, number: int, rank: int = 0) -> bool:
        """Whether chunk `number` is now ours to fetch. True as well when it was already.

        `rank`: how many may be overtaken, the holder first (`Overtaking.rank`).
        """
        return self._try(number, rank)

    def try_layer(self, rank: int = 0) -> bool:
        """Whether the layer is now ours to fetch whole; the same in all else."""
        return self._try(None, rank)

    def is_overtaken(self, number: int | None = None) -> bool:
        """Whether another process has shown progress since this one did. Only after a `bump` of ours; raises nothing."""
        shown = self._shown.get(number)  # once: another thread may let go of the lock at any moment
        return shown is not None and self.progress(number) != shown

    def release_chunk(self, number: int) -> None:
        """Lets the next one have chunk `number`. Harmless without the lock; raises nothing."""
        self._release(number)

    def release_layer(self) -> None:
        """Lets the next one have the whole layer. Harmless without the lock; raises nothing."""
        self._release(None)

    def is_idle(self) -> bool:
        """Whether no process holds any of these locks. Takes them all for good where it is so: for whoever removes the file."""
        return self._file is not None and self._set(fcntl.F_WRLCK, 0, 0) is None

    def bump(self, number: int | None = None) -> None:
        """Shows who waits for this lock that work on it goes on: at least once a second while bytes come. Raises nothing."""
        if self._file is not None:
            shown = time.monotonic_ns()
            try:
                os.pwrite(self._file.fd, _PROGRESS.pack(shown), _progress_at(number))
            except OSError as error:  # a full disk, mostly: then we are overtaken, which costs bytes and nothing else
                logger.debug("cannot show progress on a lock: %s", error)
            else:
                self._shown[number] = shown

    def progress(self, number: int | None = None) -> int:
        """A number that another one than before means progress. Raises nothing."""
        if self._file is None:
            return 0
        try:
            return int.from_bytes(os.pread(self._file.fd, _PROGRESS.size, _progress_at(number)), "little")
        except OSError:
            return 0

    def _try(self, number: int | None, rank: int) -> bool:
        first, behind = _byte(number), _byte(number) + _RANKS
        for byte in range(first, min(first + rank + 1, behind)):
            if self._take(byte) and not self._is_taken(byte + 1, behind):
                return True
        return rank >= _RANKS

    def _take(self, byte: int) -> bool:
        error = self._set(fcntl.F_WRLCK, byte)
        return error is None or error.errno not in _TAKEN

    def _is_taken(self, start: int, stop: int) -> bool:
        """Whether another process has a lock on one of these bytes."""
        if self._file is None or start == stop:
            return False
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, stop - start, 0)
        try:
            found = fcntl.fcntl(self._file.fd, fcntl.F_OFD_GETLK, wanted)
        except OSError:
            return False
        kind: int = _FLOCK.unpack(found)[0]
        return kind != fcntl.F_UNLCK

    def _release(self, number: int | None) -> None:
        self._shown.pop(number, None)
        self._set(fcntl.F_UNLCK, _byte(number), _RANKS)

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
    """One waiter's patience with who has a lock: pure, told the time (seconds of any clock that never goes back).

    `rank`: how many of them, the holder and those who overtook him, may be overtaken. Looks are to come at least once a second: a
    longer pause means that the waiter was stopped as well, and did not watch.
    """

    __slots__ = ("_looked", "_patience_seconds", "_progress", "_watched_seconds", "rank")

    def __init__(self, progress: int, now: float, patience_seconds: float = OVERTAKE_SECONDS) -> None:
        self._progress, self._looked, self._patience_seconds = progress, now, patience_seconds
        self._watched_seconds = 0.0
        self.rank = 0

    def look(self, progress: int, now: float) -> None:
        """Notes what was seen. Where there was no progress for so long, one more may be overtaken, and patience begins anew."""
        self._watched_seconds += min(now - self._looked, _LONGEST_STEP_SECONDS)
        self._looked = now
        if progress != self._progress:
            self._progress, self._watched_seconds = progress, 0.0
        elif self._watched_seconds >= self._patience_seconds:
            self.rank, self._watched_seconds = self.rank + 1, 0.0


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
            return made_anyway(place.name, place.directory)
        except OSError as error:
            logger.info("layer %s cannot be locked, other processes may fetch the same bytes: %s", digest, error)
            return None


def _byte(number: int | None) -> int:
    """The first byte of a lock."""
    return _WHOLE_LAYER if number is None else number * _RANKS


def _progress_at(number: int | None) -> int:
    return 0 if number is None else (number + 1) * _PROGRESS.size
