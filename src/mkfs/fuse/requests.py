"""What the kernel asked and what it was told: plain counts, in the trio thread. How long reads waited, `vfs.waits` knows."""

import errno
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, final

from msgspec import Struct
from pyfuse3 import FUSEError

from mkfs.histogram import Distribution, Histogram
from mkfs.units import KIB, MIB

P = ParamSpec("P")
T = TypeVar("T")

OK: Final = "ok"
OTHER: Final = "other"
# What `operations` answers, in the order of its file.
OPERATIONS: Final = (
    "lookup",
    "getattr",
    "getxattr",
    "listxattr",
    "readlink",
    "opendir",
    "readdir",
    "releasedir",
    "open",
    "read",
    "release",
    "statfs",
)
ERRORS: Final = (
    "EACCES",
    "EBADF",
    "EBUSY",
    "EINVAL",
    "EIO",
    "EISDIR",
    "ELOOP",
    "ENODATA",
    "ENOENT",
    "ENOSYS",
    "ENOTDIR",
    "EROFS",
    "ESTALE",
)
_NAMES: Final = {getattr(errno, name): name for name in ERRORS}

# From a page to the most that the kernel asks for at once.
SIZE_BOUNDS: Final = (*(4 * KIB << step for step in range(8)), MIB)


@final
class FuseStatistics(Struct, frozen=True):
    """A moment's counts of requests that were answered. Results are `OK`, a name of `ERRORS`, or `OTHER`."""

    answers: dict[tuple[str, str], int]  # by operation and result
    read_size_bytes: Distribution  # of answers


@final
class Requests:
    """The counts of one mount."""

    __slots__ = ("_answered", "_refused", "_sizes")

    def __init__(self) -> None:
        self._answered = dict.fromkeys(OPERATIONS, 0)
        self._refused = {("read", "EIO"): 0}  # what alerts look at is there from the beginning
        self._sizes = Histogram(SIZE_BOUNDS)

    def answered(self, operation: str) -> None:
        """A request got what it asked for."""
        self._answered[operation] += 1

    def answered_read(self, length: int) -> None:
        """A read got so many bytes."""
        self._answered["read"] += 1
        self._sizes.observe(length)

    def refused(self, operation: str, number: int) -> None:
        """A request got an error number."""
        key = (operation, _NAMES.get(number, OTHER))
        self._refused[key] = self._refused.get(key, 0) + 1

    def snapshot(self) -> FuseStatistics:
        """The counts now."""
        answered = {(operation, OK): count for operation, count in self._answered.items()}
        return FuseStatistics(answered | self._refused, self._sizes.snapshot())


class Answering(Protocol):
    """Whoever answers requests, and counts them."""

    requests: Requests

    def refusal(self, error: Exception) -> FUSEError:
        """What is answered for `error`."""


A = TypeVar("A", bound=Answering)
Handler = Callable[Concatenate[A, P], Coroutine[Any, Any, T]]


def answered(handler: Handler[A, P, T]) -> Handler[A, P, T]:
    """Answers with what a handler returns, or refuses for what it raises; counts either under its name."""
    operation = handler.__name__

    @wraps(handler)
    async def answering(self: A, /, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            told = await handler(self, *arguments, **named)
        except Exception as error:  # noqa: BLE001 - nothing but `FUSEError` may leave: see `operations`
            refusal = self.refusal(error)
            self.requests.refused(operation, refusal.errno)
            raise refusal from None
        self.requests.answered(operation)
        return told

    return answering
