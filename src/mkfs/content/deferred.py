"""Reads of a layer that is not proven yet, for mounts whose user asked for that (`--verify deferred`): answered, then proven.

Theory. The first read starts the proof of the whole layer, which goes on whoever leaves. Until it is over, a chunk that is wanted
is taken from what the proof has received, else asked for by itself, and handed out as it came. Of every chunk that was handed out
the digest is kept; when the layer is proven, each is compared. What does not match was a wrong byte in somebody's hands: that is
said loudly, and whoever shows the layer is told to have its pages forgotten, so that later reads get what is proven, or an error.
Pages that are mapped can't be called back.

Atomic between checkpoints: `_handed_out` knows a chunk before its bytes leave; `_proving` says whether a proof is under way.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import final

from mkfs.content.flights import Flights
from mkfs.content.means import LayerMeans
from mkfs.content.proof_flights import ProofFlights
from mkfs.content.reads import Buffer
from mkfs.content.receive import receive
from mkfs.content.standing import Standing
from mkfs.content.together import all_done
from mkfs.errors import IntegrityError, MkfsError
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange

log = logging.getLogger(__name__)


@final
class DeferredReads:
    """Unproven reads of one layer. `on_distrust` is called when bytes that were handed out turn out wrong, or can't be proven."""

    def __init__(self, means: LayerMeans, standing: Standing, proofs: ProofFlights) -> None:
        """`standing` says when the layer is proven, which `proofs` see to behind the reads."""
        self._means, self._standing, self._proofs = means, standing, proofs
        self.on_distrust: Callable[[], Awaitable[None]] | None = None
        self._flights: Flights[int, Buffer] = Flights(means.engine.nursery)
        self._handed_out: dict[int, bytes] = {}  # raw sha256 by number of chunk
        self._proving = False

    async def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted`, not proven.

        Raises `RangesIgnored` (then only the proof can answer), `Unreachable`, `NotFound`, `NotAuthorised`.
        """
        grid = self._standing.grid  # that of the proof, as long as there is none
        if not self._proving:
            self._means.engine.nursery.start_soon(self._prove_behind, grid)
            self._proving = True
        assembled = bytearray(wanted.length)

        async def fill(number: int) -> None:
            chunk = grid.chunk_range(number)
            part = chunk.overlap(wanted)
            content = memoryview(await self._flights.join(number, partial(self._chunk, number, chunk)))
            assembled[part.slice_from(wanted.start)] = content[part.slice_from(chunk.start)]

        await all_done(partial(fill, number) for number in grid.chunks(wanted))
        return assembled

    async def _chunk(self, number: int, chunk: ByteRange) -> Buffer:
        memory, known = self._means.engine.memory, self._handed_out.get(number)
        kept = None if known is None else memory.get(known)
        if kept is not None:
            return kept
        content = await self._means.engine.on_disk(self._proofs.received, chunk)
        if content is None:
            into = bytearray(chunk.length)
            with memoryview(into) as view:
                await receive(self._means.reader, self._means.blob, chunk, view)
            content = bytes(into)
        digest = await self._means.engine.hashing(lambda: hashlib.sha256(content).digest())
        if self._handed_out.setdefault(number, digest) != digest:
            what = f"bytes {chunk} of layer {self._means.blob.digest} came in two versions"
            raise IntegrityError(what, self._means.label, "they are not proven yet; the proof under way decides")
        return memory.get_or_load(digest, lambda: memoryview(content))

    async def _prove_behind(self, grid: Grid) -> None:
        try:
            await self._proofs.prove()
        except IntegrityError as error:
            await self._tell(f"what was read of it was never proven: {error}")
        except MkfsError as error:
            log.info("%s is not proven yet, the next read tries again: %s", self._means.label, error)
        else:
            wrong = [number for number in self._handed_out if not self._was_right(number, grid)]
            if wrong:
                await self._tell(f"bytes {grid.chunk_range(min(wrong))} that were read are not what the layer proves")
            self._handed_out.clear()
        finally:
            self._proving = False

    def _was_right(self, number: int, grid: Grid) -> bool:
        """Whether what was handed out as chunk `number` is proven. Under another grid that can't be told: then it is not."""
        index = self._standing.index
        return index is not None and index.grid == grid and index.digest_of(number) == self._handed_out[number]

    async def _tell(self, what: str) -> None:
        if not self._handed_out:
            return
        self._means.engine.tally.wrong_answers += 1
        log.error("%s: %s: the kernel is told to forget it; who has it mapped or copied has wrong bytes", self._means.label, what)
        if self.on_distrust is not None:
            await self.on_distrust()
