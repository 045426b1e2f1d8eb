"""Where a layer's reads come from, taken from what is there: published bytes, a chunk index of our own, one that came with the
artifact. And what becomes of it when the bytes turn out damaged, or the registry gives no ranges.

The cache is shared, so nothing of it is taken before this mount may be served the layer (`content.access`).

Atomic between checkpoints: the standing changes whole; `left_over` and `whole_only` change with it.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import final

from mkfs.archive.entry import Table
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.content.chunks import ChunkFetch
from mkfs.content.means import LayerMeans
from mkfs.content.reads import Buffer
from mkfs.content.receive import RangesIgnored
from mkfs.content.standing import Standing
from mkfs.content.tables import proven_table
from mkfs.errors import BadArchive
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange

log = logging.getLogger(__name__)


@final
class Taker:
    """Changes the `standing` of one layer. `left_over` is the chunk index of a published layer that was damaged; `whole_only`: a
    server that ignores ranges gives no chunks; `damages`: local damage found.
    """

    def __init__(self, means: LayerMeans, standing: Standing) -> None:
        self._means, self._standing = means, standing
        self.left_over: ChunkIndex | None = None
        self.whole_only = False
        self.damages = 0

    async def take_cached(self) -> bool:
        """Takes what the cache has and may serve to this mount; whether there was anything."""
        found = await self._means.engine.on_disk(self._find)
        if found is None:
            return False
        stored, index = (found, found.index) if isinstance(found, StoredLayer) else (None, found)
        as_wanted = (index.compression, index.stored_bytes) == (self._means.compression, self._means.blob.size_bytes)
        if not as_wanted or not await self._means.access.allows(self._means.blob):
            if stored is not None:
                stored.close()
            return False
        if stored is None and self._means.compression:
            self._standing.learn(index)
            return False
        try:
            try:
                await self.take(found, Trust.OWN)
            except Damaged as error:
                if stored is None:
                    raise
                await self._drop(stored, error)
                if self._means.compression:
                    return False
                await self.take(index, Trust.OWN)
        except RangesIgnored:
            self.whole_only = True
            return False
        return True

    async def take_trusted(self) -> None:
        """Takes the chunk index that came with the artifact, where nothing is known and this mount may be served the layer."""
        trusted = self._standing.trusted
        if trusted is None or self._standing.proven or self.whole_only or not await self._means.access.allows(self._means.blob):
            return
        if self._means.compression:
            if self._standing.content_bytes is None:
                self._standing.learn(trusted.index)
            return
        try:
            await self.take(trusted.index, trusted.trust)
        except RangesIgnored:
            self.whole_only = True
        except BadArchive as error:
            raise named(error, self._means.label) from error

    def _find(self) -> StoredLayer | ChunkIndex | None:
        cache, digest = self._means.engine.cache, self._means.blob.digest
        return cache.layer(digest) or (None if self.whole_only else cache.index(digest))

    async def take(self, found: StoredLayer | ChunkIndex, trust: Trust) -> None:
        """Reads come from `found` from now on. Raises `BadArchive`, and what reading its headers raises, if it has no table."""
        if isinstance(found, StoredLayer):
            stored = found
            table = await self._proven_table(stored.index, lambda wanted: self._means.engine.on_disk(stored.read, wanted))
            self._standing.adopt(stored, trust, table)
            return
        chunks = await ChunkFetch.open(self._means, found)
        self._standing.adopt(chunks, trust, await self._proven_table(found, chunks.read))

    async def _proven_table(self, index: ChunkIndex, read: Callable[[ByteRange], Awaitable[Buffer]]) -> Table | None:
        if not self._means.tar or index.table is not None:
            return index.table
        return await proven_table(read, index)  # it was proven for an artifact that has the same bytes as a plain file

    async def damaged(self, stored: StoredLayer, error: Damaged) -> None:
        """Reads of `stored` found `error`: it is mended, or dropped, and read in another way."""
        if self._standing.stored is stored:  # else another read found it first
            self._standing.forget()
            if self._means.compression:
                self._standing.learn(stored.index)
            else:
                self.left_over = stored.index
            await self._drop(stored, error)

    async def _drop(self, stored: StoredLayer, error: Damaged) -> None:
        self.damages += 1
        log.warning("cached bytes of %s are damaged and will be fetched again: %s", self._means.label, error)
        cache, on_disk = self._means.engine.cache, self._means.engine.on_disk
        if self._means.compression:  # no request brings the chunk that is bad
            await on_disk(cache.drop, self._means.blob.digest, stored)
        else:
            await on_disk(cache.mend, stored, error.number)

    def ranges_ignored(self, chunks: ChunkFetch) -> None:
        """The registry sends the whole blob where a chunk was asked."""
        if self._standing.chunks is chunks:
            log.info("the registry ignores ranges: %s is fetched whole", self._means.label)
            self._standing.forget()
            self.whole_only = True


def named(error: BadArchive, label: str) -> BadArchive:
    """`error` with the name that a person knows the layer by."""
    return BadArchive(error.what, f"{label}, {error.where}", error.hint)
