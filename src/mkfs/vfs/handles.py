"""Open files and directories by number."""

import errno
from typing import Generic, TypeVar, final

from mkfs.errors import FileSystemError

T = TypeVar("T")


@final
class Handles(Generic[T]):
    """A table of open things. Numbers count up from 1 and are never used twice, so a late request can't meet a newer file's handle
    (64 bits do not run out).
    """

    __slots__ = ("_last", "_open")

    def __init__(self) -> None:
        self._open: dict[int, T] = {}
        self._last = 0

    def add(self, thing: T) -> int:
        """Opens `thing`; the answer is its number."""
        self._last += 1
        self._open[self._last] = thing
        return self._last

    def __getitem__(self, number: int) -> T:
        """What `number` was given for. Raises `FileSystemError` EBADF after its release."""
        try:
            return self._open[number]
        except KeyError:
            raise FileSystemError(errno.EBADF, f"handle {number} is not open") from None

    def remove(self, number: int) -> None:
        """Releases `number`. Raises `FileSystemError` EBADF if it is not open."""
        self[number]
        del self._open[number]

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def opened(self) -> int:
        """How many were ever opened."""
        return self._last
