"""The order of a layer's bytes, whatever order its runs come in: the whole-blob digest must go in order, chunk digests need not.

Theory. The *frontier* is the first run that has not passed: one that arrives early waits in its buffer for those before it. The run
at the frontier is *hot*: its chunks may pass as they are received, in the thread that has them in its core's cache. Whoever wants a
buffer for it is served at once (`content.buffers`), so the frontier can always move.

Atomic between checkpoints: a run that arrived is in `_arrived`, or passing, or behind the frontier, and its buffer is borrowed in
the first two. One drain runs at a time (`_draining`).
"""

from mmap import mmap
from typing import Protocol, final

from mkfs.content.engine import Engine
from mkfs.content.laps import Run
from mkfs.proof.whole import WholeProof


class InOrder(Protocol):
    """Who takes a layer's bytes in their order, whatever order they came in."""

    def restart(self) -> None:
        """The bytes come anew from the first; those before are worth nothing."""

    async def take(self, data: memoryview) -> None:
        """Takes the next bytes, and lets go of `data`. What it raises ends the fetch."""


@final
class Frontier:
    """Passes the runs of one layer in order, to `proof` and then to `taker`, if there is one. It is at run `number`."""

    __slots__ = ("_arrived", "_draining", "_engine", "_proof", "_taker", "number")

    def __init__(self, engine: Engine, proof: WholeProof, taker: InOrder | None) -> None:
        self._engine, self._proof, self._taker = engine, proof, taker
        self._arrived: dict[int, tuple[Run, mmap]] = {}
        self._draining = False
        self.number = 0

    async def borrow(self, run: Run) -> mmap:
        """A buffer for `run`; cancelling borrows nothing."""
        return await self._engine.buffers.borrow(lambda: run.number == self.number)

    def give_back(self, buffer: mmap) -> None:
        """Returns the buffer of a run that did not arrive."""
        self._engine.buffers.give_back(buffer)

    def is_hot(self, run: Run) -> bool:
        """Whether `run`, which begins to come now, may pass as it comes: no drain can be at work then. Not where somebody takes
        what passed, as that goes through the drain.
        """
        return run.number == self.number and self._taker is None

    def passed(self, buffer: mmap) -> None:
        """All of the hot run has passed; `buffer` was its."""
        self.number += 1
        self.give_back(buffer)

    def arrived(self, run: Run, buffer: mmap) -> None:
        """All of `run` is in `buffer`, for `drain`, and its chunks are settled."""
        self._arrived[run.number] = run, buffer

    async def drain(self) -> None:
        """Passes every run that the frontier has reached, unless another drain does. Raises `Mismatch`, or what `taker` raises."""
        if self._draining:
            return
        self._draining = True
        while (arrived := self._arrived.pop(self.number, None)) is not None:
            run, buffer = arrived
            try:
                data = memoryview(buffer)[: run.bytes.length]
                await self._engine.hashing(self._proof.feed, run.bytes.start, data)
                if self._taker is not None:
                    await self._taker.take(data)
            finally:
                self.give_back(buffer)
            self.number += 1
        self._draining = False

    def close(self) -> None:
        """Gives back the buffers of all that arrived and will not pass any more."""
        while self._arrived:
            self.give_back(self._arrived.popitem()[1][1])
