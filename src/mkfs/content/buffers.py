"""The memory that bytes wait in until they are proven: a bounded pool of buffers, shared by all layers of a mount.

Theory. A layer takes buffers for its ranges in the order of the layer and gives them back in that order, behind the hash. So the
range at its frontier always has one, and a layer can only wait for others. To keep it from waiting for ever, who holds none is
always served, beyond the capacity if need be: one slow layer costs the others speed, never progress.

Atomic between checkpoints: `lent` counts exactly the buffers handed out and not given back.
"""

from collections.abc import Callable
from typing import Final, final

import trio

from mkfs.units import MIB

# A registry costs 5-13 ms per request whatever its size (measured: distribution 2.8), so ranges below 8 MiB lose.
RANGE_BYTES: Final = 8 * MIB
# Six ranges: four on the wire, one at the hash, one between. More gained nothing on two cores; each costs 8 MiB of RssAnon.
CAPACITY: Final = 6


@final
class Buffers:
    """Lends buffers of `RANGE_BYTES`. A buffer's old content is whatever it held before: its borrower knows how much it wrote."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._free: list[bytearray] = []
        self._waiting = trio.lowlevel.ParkingLot()
        self.lent = 0

    async def borrow(self, holding: Callable[[], int]) -> bytearray:
        """A buffer, as soon as one may be lent. `holding` says how many the caller's layer has now.

        Cancelling while it waits borrows nothing. Does not wait at all when there is one to lend.
        """
        while self.lent >= self._capacity and holding():
            await self._waiting.park()
        self.lent += 1
        return self._free.pop() if self._free else bytearray(RANGE_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        """Returns what `borrow` lent. The caller must not touch it afterwards."""
        self.lent -= 1
        if len(self._free) < self._capacity:
            self._free.append(buffer)
        self._waiting.unpark_all()  # all: whoever finds itself without any buffer is served first, and only it knows
