"""When to try again, and when to give up: decisions without a clock of their own.

`Patience` is for a transfer that breaks: the deadline counts time without progress, so a slow but living link never runs out of it.
A byte now and then is no progress: whoever waits for 32 KiB a minute waits for ever. `Verdict` is for bytes that came and were
wrong: asking again at once would only load a registry that holds a damaged blob. And for bytes that did not come: whoever waited
for them is not made to wait again at once.
"""

from typing import Final, final

from msgspec import Struct

from mkfs.errors import IntegrityError, Unreachable
from mkfs.registry.retries import STALL_BYTES

# Readers see EIO as SIGBUS (mmap), so a broken link is retried as long as a person would wait for it to come back.
GIVE_UP_SECONDS: Final = 60.0
# A host that says so often, and nothing else, that a blob has another size than its manifest says has said it for good.
OTHER_SIZE_TRIES: Final = 3
LEAST_BYTES: Final = STALL_BYTES  # in as many seconds; `registry.flow` ends an answer that gives less in half of them
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 5.0
# Design §5: EIO with retry after 60 s, doubling to 10 min.
FIRST_VERDICT_SECONDS: Final = 60.0
LONGEST_VERDICT_SECONDS: Final = 600.0
# The kernel asks again, at once, for a page that it did not get: seen on 6.18, once for a read and twice for a page fault. So long
# it gets the same answer, or its reader would wait for two or three minutes. Longer, and a network that is back would be missed.
ABSENCE_SECONDS: Final = 2.0


@final
class Patience:
    """Delays between tries of one transfer. All times are seconds of one monotonic clock, handed in."""

    def __init__(self, now: float, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        self._last_progress, self._give_up_seconds = now, give_up_seconds
        self._tries = self._came_bytes = 0

    def progressed(self, count: int, now: float) -> None:
        """So many bytes came: the delays start anew, and the deadline where they are enough since it did."""
        self._tries = 0
        self._came_bytes += count
        if self._came_bytes >= LEAST_BYTES:
            self._last_progress, self._came_bytes = now, 0

    def is_settled(self) -> bool:
        """Whether what every try brought, as this one did, may count as the answer."""
        return self._tries >= OTHER_SIZE_TRIES - 1

    def next_delay(self, now: float) -> float | None:
        """How long to wait before the next try; None when there was no progress for too long."""
        if now - self._last_progress >= self._give_up_seconds:
            return None
        self._tries += 1
        return min(FIRST_DELAY_SECONDS * 2.0 ** (self._tries - 1), LONGEST_DELAY_SECONDS)


@final
class Verdict(Struct, frozen=True):
    """What to answer for a layer whose bytes were wrong, or did not come, and until when (seconds of the caller's clock)."""

    error: IntegrityError | Unreachable
    until: float
    pause_seconds: float

    @classmethod
    def after(cls, previous: "Verdict | None", error: IntegrityError | Unreachable, now: float) -> "Verdict":
        """The verdict on a fetch that ended in `error` at `now`; on wrong bytes harder than the `previous` one."""
        if isinstance(error, Unreachable):
            pause = ABSENCE_SECONDS
        elif previous is None or isinstance(previous.error, Unreachable):
            pause = FIRST_VERDICT_SECONDS
        else:
            pause = min(previous.pause_seconds * 2, LONGEST_VERDICT_SECONDS)
        return cls(error, now + pause, pause)
