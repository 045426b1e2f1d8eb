"""Whether a body still comes, or only drips: a byte now and then would be waited for until the end of days."""

from typing import final

from mkfs.registry.retries import STALL_BYTES, STALL_SECONDS


@final
class Flow:
    """Counts the bytes of one body, and the seconds in which they were waited for; what its reader does between is not the
    network's.

    Looked at in stretches of `STALL_SECONDS`: `size_bytes` and `seconds` are those of the stretch under way, or the last.
    """

    def __init__(self) -> None:
        self.size_bytes, self.seconds = 0, 0.0

    def came(self, count: int, seconds: float) -> None:
        """So many bytes came after so long a wait."""
        if self.seconds >= STALL_SECONDS:
            self.size_bytes, self.seconds = 0, 0.0
        self.size_bytes += count
        self.seconds += seconds

    @property
    def is_trickle(self) -> bool:
        """Whether a stretch is over in which too little came."""
        return self.seconds >= STALL_SECONDS and self.size_bytes < STALL_BYTES
