"""How many bytes may be ahead of readers, over all streams of a mount. Pure.

Each stream that is run ahead of has a *lease*: bytes between its reader and the end of what was asked for. A reader that stopped
gives nothing back, so a lease that nobody renewed for a while is void.
"""

from collections.abc import Hashable
from typing import Final, final

from mkfs.units import GIB, MIB

# Where nothing limits our memory: eight streams that run at the widest window. Bytes ahead are in the page cache, some not on the
# disk yet.
MOST_BYTES: Final = GIB
# Of the memory we may use: the rest is the readers' own, who usually live in the same cgroup.
_PART: Final = 8
# With less, not even two streams get a request of 8 MiB.
LEAST_BYTES: Final = 16 * MIB
# A reader computes between two tensors, and its stream is not over.
IDLE_SECONDS: Final = 10.0


def ahead_limit(memory_bytes: int | None) -> int:
    """The budget of a process that may use `memory_bytes`; None: all there is."""
    return MOST_BYTES if memory_bytes is None else max(LEAST_BYTES, min(MOST_BYTES, memory_bytes // _PART))


@final
class Budget:
    """Leases that together stay within `limit_bytes`."""

    __slots__ = ("_leases", "limit_bytes")

    def __init__(self, limit_bytes: int = MOST_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._leases: dict[Hashable, tuple[int, float]] = {}  # bytes, and when they were granted

    def lease(self, holder: Hashable, wanted_bytes: int, now: float) -> int:
        """How many of `wanted_bytes` may be ahead of `holder`. Replaces its earlier lease. `now`: seconds of any one clock."""
        self._leases = {each: lease for each, lease in self._leases.items() if each != holder and now - lease[1] < IDLE_SECONDS}
        left = self.limit_bytes - self.leased_bytes
        granted = max(0, min(wanted_bytes, left))
        if granted:
            self._leases[holder] = granted, now
        return granted

    def end(self, holder: Hashable) -> None:
        """Nothing is ahead of `holder` any more."""
        self._leases.pop(holder, None)

    @property
    def leased_bytes(self) -> int:
        """What is ahead of all streams, void leases included."""
        return sum(granted for granted, _ in self._leases.values())
