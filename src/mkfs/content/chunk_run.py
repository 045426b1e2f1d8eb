"""A run of chunks: what one request brings of a layer whose chunk index is trusted, each chunk checked as soon as it is there.

Theory. A *want* is one chunk that a flight waits for; a run is neighbouring wants. The run is received into one borrowed buffer;
behind the received bytes, by the thread that receives, chunk after chunk is checked and kept, and its want *lands*, with a copy if
a reader waits for it. Nobody waits for the chunks after his own. A chunk that is wrong is fetched once more by itself, past all
caches; then it is wrong for good.

Atomic between checkpoints: a want has landed, has failed, was left by its flight, or its run still works for it; `_waiting` counts
the last kind. When nobody is left who waits, the run is cancelled. Its buffer is borrowed exactly while it works.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from mmap import mmap
from typing import final

import trio
from msgspec import Struct, field

from mkfs.content.admission import Urgency, Waiters
from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.chunk_store import ChunkStore
from mkfs.content.means import LayerMeans
from mkfs.content.reads import Buffer
from mkfs.content.receive import receive
from mkfs.errors import Mismatch
from mkfs.ranges import ByteRange

log = logging.getLogger(__name__)


@final
class Want(Struct, eq=False):
    """One chunk that a flight waits for."""

    number: int
    waiters: Waiters
    settled: trio.Event = field(default_factory=trio.Event)
    chunk: Buffer | None = None  # None once it landed: it is in the store, and nobody waited
    error: Exception | None = None
    turn: trio.CancelScope = field(default_factory=trio.CancelScope)  # of the wait for its turn between processes
    has_turn: bool = False  # that wait is over
    left: bool = False  # the flight is gone
    run: "ChunkRun | None" = None

    def land(self, chunk: Buffer | None) -> None:
        """Gives the flight its bytes, which were checked and kept."""
        self.chunk = chunk
        self.settled.set()

    def fail(self, error: Exception) -> None:
        """Gives the flight an error, unless it has its bytes."""
        if not self.settled.is_set():
            self.error = error
            self.settled.set()

    def leave(self) -> None:
        """Says that the flight does not wait any more."""
        self.left = True
        self.turn.cancel()
        if self.run is not None:
            self.run.left()


@final
class RunMeans(Struct, eq=False):
    """What all runs of a layer share. `holding`: buffers they have borrowed."""

    layer: LayerMeans
    store: ChunkStore
    release: Callable[[int], None]  # lets other processes have a chunk's turn
    holding: int = 0

    async def borrow(self) -> mmap:
        """A buffer for one run; see `Buffers.borrow`."""
        buffer = await self.layer.engine.buffers.borrow(lambda: not self.holding)
        self.holding += 1
        return buffer

    def give_back(self, buffer: mmap) -> None:
        """Returns what `borrow` lent."""
        self.holding -= 1
        self.layer.engine.buffers.give_back(buffer)


def neighbours(wants: Iterable[Want], store: ChunkStore) -> Iterator[list[Want]]:
    """Groups wants of different chunks into what one request should bring: neighbours, up to `RANGE_BYTES` together."""
    group: list[Want] = []
    start = 0
    for want in sorted(wants, key=lambda want: want.number):
        chunk = store.index.grid.chunk_range(want.number)
        if group and (want.number != group[-1].number + 1 or chunk.stop - start > RANGE_BYTES):
            yield group
            group = []
        if not group:
            start = chunk.start
        group.append(want)
    if group:
        yield group


@final
class ChunkRun:
    """One request for the chunks of `wants`, which are neighbours. `fetch` once."""

    def __init__(self, means: RunMeans, wants: list[Want]) -> None:
        self._means, self._wants = means, wants
        grid = means.store.index.grid
        self._bytes = ByteRange(grid.chunk_range(wants[0].number).start, grid.chunk_range(wants[-1].number).stop)
        self._scope = trio.CancelScope()
        self._waiting = len(wants)
        self._settled = 0  # of the wants: checked, right or wrong
        self._now = 0.0
        self._token = trio.lowlevel.current_trio_token()
        self._wrong: list[tuple[Want, Mismatch]] = []
        self._hosts: set[str] = set()
        self.received_bytes = 0
        for want in wants:
            want.run = self

    @property
    def numbers(self) -> range:
        """The chunks' numbers."""
        return range(self._wants[0].number, self._wants[-1].number + 1)

    @property
    def size_bytes(self) -> int:
        """How much it brings."""
        return self._bytes.length

    def left(self) -> None:
        """Counts a flight out that waited for one of the wants."""
        self._waiting -= 1
        if not self._waiting:
            self._scope.cancel()

    async def fetch(self) -> None:
        """Settles all wants, whatever happens; raises nothing. Cancelling leaves them unsettled: their flights are gone as well."""
        means = self._means
        try:
            with self._scope:
                async with means.layer.engine.admission.admitted(self._urgency):
                    buffer = await means.borrow()
                    try:
                        await self._receive(buffer)
                        for want, error in self._wrong:
                            await self._again(want, error, buffer)
                    finally:
                        means.give_back(buffer)
        except Exception as error:  # noqa: BLE001 - handed to the flights, who are its callers
            for want in self._wants:
                want.fail(error)
        finally:
            for want in self._wants:
                if want.error is not None or not want.settled.is_set():
                    means.release(want.number)

    def _urgency(self) -> Urgency:
        return min(want.waiters.urgency() for want in self._wants)

    async def _receive(self, buffer: mmap) -> None:
        means, self._now = self._means, trio.current_time()
        with memoryview(buffer)[: self._bytes.length] as into:

            async def received(count: int, host: str) -> None:
                await self._count(count, host)
                if self._next_in(self.received_bytes) is not None:  # not received by a thread that did it
                    await means.layer.engine.hashing(self._settle, into, self.received_bytes)

            follow = partial(self._settle, into)
            await receive(means.layer.reader, means.layer.blob, self._bytes, into, progress=received, follow=follow)

    async def _count(self, count: int, host: str) -> None:
        self.received_bytes += count
        self._means.layer.engine.admission.received(count)
        self._hosts.add(host)
        self._now = trio.current_time()

    def _next_in(self, done: int) -> Want | None:
        """The next want to settle, if its chunk is within the first `done` bytes of the run."""
        want = self._wants[self._settled] if self._settled < len(self._wants) else None
        return None if want is None or self._chunk_range(want).stop - self._bytes.start > done else want

    def _settle(self, into: memoryview, done: int) -> None:
        """Checks and keeps the chunks that are within the first `done` bytes, in a thread."""
        while (want := self._next_in(done)) is not None:
            chunk = self._chunk_range(want)
            with into[chunk.slice_from(self._bytes.start)] as received:
                try:
                    kept = self._keep(want, received)
                except Mismatch as error:
                    self._wrong.append((want, error))
                else:
                    self._token.run_sync_soon(self._landed, want, kept)
            self._settled += 1

    def _keep(self, want: Want, received: memoryview) -> bytes | None:
        return self._means.store.keep(want.number, received, self._now, wanted=lambda: want.waiters.urgency() is Urgency.DEMAND)

    def _landed(self, want: Want, kept: bytes | None) -> None:
        self._means.release(want.number)
        if not want.left:
            grid = self._means.store.index.grid
            self._means.layer.reach.came(grid, range(want.number, want.number + 1), want.waiters.urgency())
            self._waiting -= 1
            want.land(kept)

    async def _again(self, want: Want, first: Mismatch, buffer: mmap) -> None:
        """A verdict needs a second fetch: what was wrong may have been a cache on the way."""
        means, chunk = self._means, self._chunk_range(want)
        means.layer.engine.tally.wrong_chunks += 1
        log.warning("bytes %s of %s do not match their digest; fetching them again past all caches", chunk, means.layer.label)
        with memoryview(buffer)[: chunk.length] as into:
            await receive(means.layer.reader, means.layer.blob, chunk, into, fresh=True, progress=self._count)
            try:
                self._landed(want, await means.layer.engine.hashing(self._keep, want, into))
                return
            except Mismatch as error:
                means.layer.engine.tally.wrong_chunks += 1
                second = error
        brought = "the same wrong bytes" if second.what == first.what else "different wrong bytes"
        verdict = Mismatch(
            f"bytes {chunk} of layer {means.layer.blob.digest} do not match their digest: two fetches brought {brought}",
            f"{means.layer.label}, from {', '.join(sorted(self._hosts))}",
            "the registry's copy is damaged: push the artifact again; reads are tried again after a minute",
        )
        log.error("%s: %s (%s)", means.layer.label, verdict.what, verdict.where)
        want.fail(verdict)

    def _chunk_range(self, want: Want) -> ByteRange:
        return self._means.store.index.grid.chunk_range(want.number)
