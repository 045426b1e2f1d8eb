"""The last errors of a mount, for a person who looks: what went wrong, from whom, when, how often, and whether a reader saw it."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from msgspec import Struct

from mkfs.errors import Closing, MkfsError

# Different ones; a link that breaks in every way there is has no more, and a screen shows no more.
KEPT: Final = 32


@final
class LastError(Struct, frozen=True):
    """One error, repeated or not. Times are seconds since the epoch. `host` is "" where `where` has all that is known."""

    kind: str  # the class of the error, such as `Unreachable`
    what: str
    where: str
    layer: str  # the label that a person knows it by
    host: str
    first_at: float
    last_at: float
    count: int  # tries that ended so
    reads_failed: int  # readers who got it


@final
class LastErrors:
    """The `KEPT` errors that happened last. To be called on one loop. `clock` tells the time of day."""

    __slots__ = ("_clock", "_errors")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._errors: OrderedDict[tuple[str, str, str], LastError] = OrderedDict()  # the one seen longest ago first

    def tried(self, error: MkfsError, layer: str, host: str = "") -> None:
        """A try for `layer` ended in `error`: there may be another one."""
        self._note(error, layer, host, count=1)

    def read_failed(self, error: MkfsError, layer: str, host: str = "") -> None:
        """A reader gets `error`. One that says the mount is closing says nothing else."""
        if not isinstance(error, Closing):
            self._note(error, layer, host, reads_failed=1)

    def _note(self, error: MkfsError, layer: str, host: str, *, count: int = 0, reads_failed: int = 0) -> None:
        kind, now = type(error).__name__, self._clock()
        before = self._errors.pop((kind, error.what, layer), None)
        if before is not None:
            host = host or before.host
            count, reads_failed = count + before.count, reads_failed + before.reads_failed
        first_at = now if before is None else before.first_at
        self._errors[kind, error.what, layer] = LastError(
            kind, error.what, error.where, layer, host, first_at, now, count, reads_failed
        )
        if len(self._errors) > KEPT:
            self._errors.popitem(last=False)

    def latest(self) -> tuple[LastError, ...]:
        """All of them, the latest first."""
        return tuple(reversed(self._errors.values()))
