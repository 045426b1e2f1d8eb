"""Pins and use marks: what an evictor asks before it takes a layer away.

Theory. Who reads a layer holds a shared lock (flock) on a descriptor of its directory: a *pin*, which the kernel takes back when
the process dies, however it dies. Who wants to take the layer away tries for the exclusive lock, never waits, and lets it go at
once if it takes nothing after all. So a reader that meets an exclusive lock tries again for a moment before it believes that the
layer goes.

When a layer was last read is the modification time of its directory, which nothing else changes once it is published; for a
document or an index it is the file's. Readers write it down once a minute at most: no clock finer than that decides what is old.
"""

import fcntl
import os
import time
from contextlib import suppress
from typing import Final, final

from mkfs.cache.claims import stands
from mkfs.cache.files import OpenFile, open_our_directory

_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.005  # an evictor that takes nothing lets go within microseconds, unless it is stopped
MARK_SECONDS: Final = 60.0


def pin(directory: OpenFile) -> None:
    """Keeps the layer in `directory` from being taken away for as long as the descriptor is open. Blocks for a moment at most.

    Raises `BlockingIOError` where somebody is taking it away. Where there are no locks there are no pins, and no evictors either.
    """
    for attempt in range(_TRIES):
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            return
        else:
            return


def open_pinned(name: str, parent: OpenFile) -> OpenFile | None:
    """Our directory `name` in `parent`, pinned; None if it went before there was a pin.

    Raises `OSError`: `FileNotFoundError` if nothing is there, `BlockingIOError` as `pin`, one of `files.is_not_ours`.
    """
    directory = open_our_directory(name, parent)
    pin(directory)
    return directory if stands(name, parent, os.fstat(directory.fd)) else None


def grip(directory: OpenFile) -> bool:
    """Whether nobody reads the layer in `directory` and none will begin to while the descriptor is open. Never waits."""
    try:
        fcntl.flock(directory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # pinned, or a file system without locks, where nothing can be known
        return False
    return True


@final
class UseMark:
    """Writes down that a layer is being read. Any thread may call; the worst a race can do is write it twice."""

    __slots__ = ("_again", "_used")

    def __init__(self) -> None:
        self._again = 0.0  # of the monotonic clock
        self._used = False

    def hit(self) -> None:
        """Remembers a read that must not touch the disk, for `settle`."""
        self._used = True

    def note(self, directory: OpenFile) -> None:
        """Marks the layer as read now, unless that was done within the last minute. Blocks, raises nothing."""
        now = time.monotonic()
        if now >= self._again:
            self._again, self._used = now + MARK_SECONDS, False
            with suppress(OSError):  # a read-only disk
                os.utime(directory.fd)

    def settle(self, directory: OpenFile) -> None:
        """Marks the layer as read if `hit` has more to say than `note` wrote down."""
        if self._used:
            self._again = 0.0
            self.note(directory)


def mark_file(name: str, parent: OpenFile) -> None:
    """Marks a document or an index as used now. Blocks, raises nothing."""
    with suppress(OSError):
        os.utime(name, dir_fd=parent.fd, follow_symlinks=False)
