"""The memory that bytes wait in until they are proven: a bounded pool of buffers, shared by all layers of a mount.

Theory. A layer gives its buffers back in the order of the layer, behind the hash: nothing beyond its frontier can be given back
before the frontier has passed. So whoever wants a buffer for the frontier is always served, beyond the capacity if need be: then
no layer can wait for ever, neither for itself nor for another, and one slow layer costs the others speed, never progress.

A buffer is a mapping of its own: memory of it that nobody fills is never touched, so a small layer costs a page or two instead of
8 MiB of zeros (2 to 10 ms).

Atomic between checkpoints: `lent` counts exactly the buffers handed out and not given back.
"""

from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final, final

import trio

from mkfs.units import MIB

# What one thread hashes and writes at a time: long enough that handing it over (some 0.1 ms) does not count.
RANGE_BYTES: Final = 8 * MIB
# Two streams fill one each, a lap that runs ahead of the frontier leaves four behind, two are at the hash. Each is 8 MiB of
# RssAnon.
CAPACITY: Final = 8


@final
class Buffers:
    """Lends buffers of `RANGE_BYTES`. A buffer's old content is whatever it held before: its borrower knows how much it wrote."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._free: list[mmap] = []
        self._waiting = trio.lowlevel.ParkingLot()
        self.lent = 0

    async def borrow(self, urgent: Callable[[], bool]) -> mmap:
        """A buffer, as soon as one may be lent, or at once when `urgent` says so: nothing is given back until it is filled.

        Cancelling while it waits borrows nothing. Does not wait at all when there is one to lend.
        """
        while self.lent >= self._capacity and not urgent():
            await self._waiting.park()
        self.lent += 1
        return self._free.pop() if self._free else mmap(-1, RANGE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS)

    def give_back(self, buffer: mmap) -> None:
        """Returns what `borrow` lent. The caller must not touch it afterwards."""
        self.lent -= 1
        if len(self._free) < self._capacity:
            self._free.append(buffer)
        self._waiting.unpark_all()  # all: whoever has become urgent is served, and only it knows
