"""What a tag was last heard to mean, and since when that is not what a mount shows."""

import time
from collections.abc import Callable
from typing import final

from mkfs.oci.digest import Digest


@final
class TagStanding:
    """One tag, which meant `shown` when the mount was made. Times are seconds since the epoch, of `clock`; None: not yet."""

    __slots__ = ("_clock", "_shown", "asked_at", "digest", "moved_at", "tag")

    def __init__(self, tag: str, shown: Digest, clock: Callable[[], float] = time.time) -> None:
        self.tag, self.digest = tag, shown
        self._shown, self._clock = shown, clock
        self.asked_at: float | None = None
        self.moved_at: float | None = None

    def heard(self, digest: Digest) -> None:
        """The registry says that the tag means `digest` now."""
        now = self.asked_at = self._clock()
        if digest == self._shown:
            self.moved_at = None
        elif digest != self.digest or self.moved_at is None:
            self.moved_at = now
        self.digest = digest

    @property
    def moved(self) -> bool:
        """Whether it means something else than what is shown."""
        return self.digest != self._shown
