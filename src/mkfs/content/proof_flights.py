"""Who proves a layer of which nothing is known: one flight that all its readers join, in turns with other processes of the node.

Theory. The first who wants the layer starts the flight; a reader that leaves does not stop it while others wait. The flight looks
first whether the proof is there meanwhile: an index that came with the artifact, or what another process has published. Else it
fetches the layer whole (`content.proving`) while other processes wait for it (`content.turns`).

Those who want it only if it can be kept (`must_keep`) have a flight of their own; of two flights the later one waits, and finds the
layer proven. What ended a flight is the answer for a while to all who come (`content.patience.Verdict`).

Atomic between checkpoints: `_verdict` changes whole; at most one flight is within `_proving`.
"""

import copy
import logging
from contextlib import nullcontext
from functools import partial
from typing import final

import trio

from mkfs.cache.locks import LayerLock
from mkfs.cache.stored import StoredLayer
from mkfs.content.admission import Urgency, Waiters
from mkfs.content.flights import Flights
from mkfs.content.means import LayerMeans
from mkfs.content.patience import Verdict
from mkfs.content.proving import Prover
from mkfs.content.reads import Buffer, Cause, Obstacle
from mkfs.content.standing import Standing
from mkfs.content.taking import Taker, named
from mkfs.content.turns import showing, take_turn
from mkfs.errors import BadArchive, IntegrityError, Mismatch, Unreachable
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange

log = logging.getLogger(__name__)


@final
class ProofFlights:
    """The flights of one layer. What they find changes its `standing`, by way of `taker`."""

    def __init__(self, means: LayerMeans, standing: Standing, taker: Taker, content_bytes: int | None) -> None:
        """`content_bytes`: what the artifact says of the content of a compressed layer."""
        self._means, self._standing, self._taker = means, standing, taker
        self._verdict: Verdict | None = None
        self._flights: Flights[bool, None] = Flights(means.engine.nursery)  # by whether they must keep it
        self._waiters = Waiters(means.engine.admission)
        self._proving = trio.Lock()  # a flight that was left may still be on its way out when the next one begins
        self._in_line = False  # for its turn: another process may have it
        self._prover = Prover(means, content_bytes, waiting=lambda: self.waiting, urgency=self._waiters.urgency)

    async def prove(self, *, whole: bool = False, urgency: Urgency = Urgency.DEMAND, must_keep: bool = False) -> None:
        """Returns when the layer is proven; `whole`: by its own digest, whatever came with the artifact.

        Raises what a read would raise; with `must_keep`, or when nobody waits for it, `CacheUnusable` where there is no room.
        """
        must_keep = must_keep or urgency is not Urgency.DEMAND
        while not self._standing.proven:
            self.refuse_if_judged()
            with self._waiters.counted(urgency):
                await self._flights.join(must_keep, partial(self._prove, whole=whole, must_keep=must_keep))

    def refuse_if_judged(self) -> None:
        """Raises what contradicts the layer, and what ended the last flight as long as that is the answer."""
        self._standing.refuse_if_contradicted()
        verdict = self._verdict
        if verdict is not None and trio.current_time() < verdict.until:
            raise copy.copy(verdict.error) from verdict.error

    def received(self, wanted: ByteRange) -> Buffer | None:
        """Bytes of the layer that the fetch under way has received, unproven; None where it has not. Blocks."""
        return self._prover.received(wanted)

    def obstacle(self) -> Obstacle:
        """What those wait for who wait for the proof; without hosts."""
        if self._in_line:
            return Obstacle(Cause.TURN)
        return Obstacle(Cause.PROOF, self._prover.received_bytes, self._means.blob.size_bytes)

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return self._flights.statistics().waiting

    @property
    def received_bytes(self) -> int:
        """Bytes that the fetch under way has received; 0 without one."""
        return self._prover.received_bytes

    @property
    def fetches(self) -> int:
        """Whole fetches begun by this process."""
        return self._prover.fetches

    # --- one flight

    async def _prove(self, *, whole: bool, must_keep: bool) -> None:
        """Makes reads possible: by what is known, by what another process has proven meanwhile, or by a fetch of our own."""
        async with self._means.engine.inflating if self._means.compression else nullcontext():
            await self._prove_now(whole=whole, must_keep=must_keep)

    async def _prove_now(self, *, whole: bool, must_keep: bool) -> None:
        if self._taker.left_over is not None and not self._taker.whole_only:
            await self._taker.take(self._taker.left_over, Trust.OWN)
            return
        if not whole:
            await self._taker.take_trusted()
            if self._standing.proven:
                return
        async with self._proving:
            if not self._standing.proven:  # by the flight before: what is published anew would have to be hashed anew
                await self._prove_in_turn(must_keep=must_keep)

    async def _prove_in_turn(self, *, must_keep: bool) -> None:
        engine, label = self._means.engine, self._means.label
        lock = await engine.on_disk(engine.cache.lock, self._means.blob.digest)
        try:
            overtaken = True
            while overtaken:
                self._in_line = True
                try:
                    await take_turn(engine, lock, None, label)
                finally:
                    self._in_line = False
                overtaken = not await self._taker.take_cached() and await self._fetch(lock, must_keep=must_keep)
        except (Mismatch, Unreachable) as error:
            self._verdict = Verdict.after(self._verdict, error, trio.current_time())
            raise
        except BadArchive as error:
            told = named(error, label)
            if self._standing.table is not None:  # its headers looked like an archive: a verdict on what was shown, and for good
                what = f"what was shown at mount is not what the layer proves: {told.what}"
                self._standing.contradict(IntegrityError(what, told.where))
            raise told from error
        finally:
            lock.release_layer()
        self._verdict = None

    async def _fetch(self, lock: LayerLock, *, must_keep: bool) -> bool:
        """Proves it by a fetch of our own; False then. True if we were stopped, and another process goes on with it."""
        means, scope = self._means, trio.CancelScope()
        with scope, showing(means.engine, lock, (None,), lambda: self._prover.received_bytes, scope.cancel):
            await self._taker.take(await self._fetched(must_keep=must_keep), Trust.OWN)
            if (index := self._standing.index) is not None:
                means.reach.came(index.grid, range(index.grid.count), self._waiters.urgency())
        if scope.cancelled_caught:
            log.info("another process has gone on with %s while this one was stopped", means.label)
            return True
        await means.access.earned(means.blob)
        return False

    async def _fetched(self, *, must_keep: bool) -> StoredLayer | ChunkIndex:
        if self._means.compression:
            return await self._prover.inflate(self._standing.content_bytes or 0)
        return await self._prover.prove(self._standing.grid, must_keep=must_keep or self._taker.whole_only)
