"""Where the chunks of a layer stay that were fetched one by one: in the cache, and without room there in bounded memory.

A cache that refuses is left alone for a while and then asked again; what it holds is read meanwhile. The memory is shared by all
layers of a mount and bounded there; it may forget a chunk at any time.

Atomic: any thread may call; a chunk is kept whole or not at all.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, final

from mkfs.cache.hot import HotChunks
from mkfs.cache.partial import Missing, PartialLayer
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged
from mkfs.content.reads import Buffer
from mkfs.content.shortage import Shortage
from mkfs.errors import CacheUnusable
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange

log = logging.getLogger(__name__)

# How long a cache that refused is left alone: asking may mean looking through all of it for something to evict.
PAUSE_SECONDS: Final = 10.0


@final
class ChunkStore:
    """The chunks of one layer that are here, all of them checked against `index`.

    `damages`: local damage found; `refusal`: why the cache did not keep what it was given last.
    """

    def __init__(self, cache: Cache, memory: HotChunks, index: ChunkIndex, shortage: Shortage, label: str) -> None:
        self.index, self.damages = index, 0
        self.refusal: CacheUnusable | None = None
        self._cache, self._memory, self._shortage, self._label = cache, memory, shortage, label
        self._partial: PartialLayer | None = None
        self._opening = threading.Lock()
        self._asks_at = float("-inf")  # when the cache is asked again
        self._closed = False

    def open(self, now: float) -> None:
        """Looks what the cache has; makes room for more where it can. Blocks, raises nothing. `now`: seconds of any one clock."""
        with self._opening:
            if self._partial is None and not self._closed and now >= self._asks_at:
                try:
                    self._partial = self._cache.partial(self.index)
                except CacheUnusable as error:
                    self._refused(error, now)

    def is_shared(self, now: float) -> bool:
        """Whether other processes will find what is kept at `now`."""
        return self._partial is not None and now >= self._asks_at

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` if they are in memory, else None. Never blocks."""
        stored = self._partial
        answer = None if stored is None else stored.read_now(wanted)
        return self._remembered(wanted) if answer is None and self._shortage.count else answer

    def read(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` if they are here; None if some are not, or not any more. Blocks, raises nothing."""
        stored = self._partial
        if stored is not None:
            try:
                return stored.read(wanted)
            except Missing:
                pass
            except Damaged as error:
                self.damages += 1
                log.warning("cached bytes of %s are damaged and will be fetched again: %s", self._label, error)
            except CacheUnusable as error:
                self._note(error)
        return self._remembered(wanted)

    def missing(self, chunks: range) -> list[int]:
        """Which of the chunks numbered `chunks` are not here, as far as is known without reading them. Blocks, raises nothing."""
        stored = self._partial
        numbers = list(chunks) if stored is None else stored.missing(chunks)
        return [number for number in numbers if self._memory.get(self.index.digest_of(number)) is None]

    def keep(self, number: int, chunk: memoryview, now: float, *, wanted: Callable[[], bool]) -> bytes | None:
        """Checks `chunk`, which nobody may change meanwhile, and keeps it where there is room. Blocks.

        A copy of it where that is `wanted`, or only memory keeps it. Raises `Mismatch`; then nothing was kept.
        """
        self.open(now)
        if self._partial is not None and now >= self._asks_at:
            try:
                self._partial.put(number, chunk)  # checks it
            except CacheUnusable as error:
                self._refused(error, now)
            else:
                self.refusal = None
                return bytes(chunk) if wanted() else None
        self.index.check(number, chunk)
        copy = bytes(chunk)
        self._memory.get_or_load(self.index.digest_of(number), lambda: memoryview(copy))
        return copy

    def close(self) -> None:
        """Lets go of the cache's files. What is kept later is kept in memory."""
        self._closed = True
        if self._partial is not None:
            self._partial.close()

    def _refused(self, error: CacheUnusable, now: float) -> None:
        self._asks_at, self.refusal = now + PAUSE_SECONDS, error
        self._note(error)

    def _note(self, error: CacheUnusable) -> None:
        if not self._closed:  # else it only says that it is closed
            self._shortage.note(error)

    def _remembered(self, wanted: ByteRange) -> Buffer | None:
        chunks, answer = self.index.grid.chunks(wanted), bytearray(0)
        for number in chunks:
            remembered = self._memory.get(self.index.digest_of(number))
            if remembered is None:
                return None
            chunk = self.index.grid.chunk_range(number)
            part = chunk.overlap(wanted)
            piece = remembered[part.slice_from(chunk.start)]
            if len(chunks) == 1:
                return piece
            answer += piece
        return answer
