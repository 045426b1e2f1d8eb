"""Fetching a compressed layer: streamed once, hashed as it is stored, decompressed into staging on the way.

Theory. The bytes come as those of any layer come (`content.whole`): in laps by several streams, each going on from its last good
byte. Behind the whole-blob hash they are decompressed, in turns in a thread that give `TURN_BYTES` or a little more. What comes
out is cut, hashed in chunks and scanned for the table (`proof.growing`), and appended to a staging that grows (`cache.growing`).
Until a run has gone through all that its buffer is not given back, so the network waits. Memory: that of a whole fetch, one block,
and one window of the codec.

Nothing of it is readable before the stored bytes had their digest. That digest also decides what is wrong: where it does not match,
it is the fetch (`Mismatch`), whatever became of the decompression; where it does, the layer is not what it is said to be
(`BadArchive`). So what breaks on the way is kept in mind, and the rest is only hashed.

There is no reading in two passes: what has no room cannot be read (`CacheUnusable`). To know that early, whatever tells the size of
the content is believed far enough to ask for room.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Final, final

import trio

from mkfs.archive import gzip, zstd
from mkfs.archive.compression import PIECE_BYTES, Decompressor, content_limit
from mkfs.cache.growing import GrowingStaging
from mkfs.cache.stored import StoredLayer
from mkfs.content.admission import Urgency
from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.engine import Engine
from mkfs.content.receive import RangesIgnored, receive
from mkfs.content.whole import WholeFetch
from mkfs.errors import BadArchive
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.grid import grid_of
from mkfs.proof.growing import GrowingIndex
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader

# What a thread gives before it looks whether anybody still wants it: a buffer of 8 MiB may hold 8 GiB of zeros.
TURN_BYTES: Final = 8 * PIECE_BYTES
# What is hashed and written at once; `GrowingIndex` wants as much of a file before it can be stored.
BLOCK_BYTES: Final = PIECE_BYTES


@final
class Inflation:
    """Decompresses one layer into `staging`, in threads, one at a time. `refusal`: why it cannot be done, for good."""

    def __init__(self, staging: GrowingStaging, blob: Descriptor, compression: Compression, limit_bytes: int, *, tar: bool) -> None:
        """Content beyond `limit_bytes` is refused."""
        self.staging = staging
        self._blob, self._compression, self._limit_bytes = blob, compression, limit_bytes
        self._begun = False
        self._decompressor = Decompressor(compression, f"layer {blob.digest}", limit_bytes)
        self._index = GrowingIndex(blob.digest, tar=tar)
        self._hash = hashlib.sha256()
        self._block, self._filled_bytes = bytearray(BLOCK_BYTES), 0
        self.refusal: BadArchive | None = None

    def feed(self, data: memoryview) -> Iterator[bytes]:
        """What the next stored bytes come to, for `turn`, again and again until it says that nothing is left."""
        if not self._begun:
            self._begun = True
            if self._compression == "zstd":
                self.staging.expect(min(self._limit_bytes, zstd.content_size_hint(bytes(data[: zstd.HEADER_BYTES]))))
        if self.refusal is None:
            yield from self._decompressor.feed(data)

    def turn(self, pieces: Iterator[bytes]) -> bool:
        """Takes `TURN_BYTES` of content; whether there may be more. Raises `CacheUnusable`."""
        given_bytes = 0
        try:
            for piece in pieces:
                self._take(memoryview(piece))
                given_bytes += len(piece)
                if given_bytes >= TURN_BYTES:
                    return True
        except BadArchive as error:
            self._refuse(error)
        return False

    def _take(self, piece: memoryview) -> None:
        while piece:
            part = piece[: BLOCK_BYTES - self._filled_bytes]
            self._block[self._filled_bytes : self._filled_bytes + len(part)] = part
            self._filled_bytes += len(part)
            if self._filled_bytes == BLOCK_BYTES:
                self._end_block()
            piece = piece[len(part) :]

    def _end_block(self) -> None:
        with memoryview(self._block)[: self._filled_bytes] as block:
            self._hash.update(block)
            start = self.staging.size_bytes
            for span in self._index.feed(block):
                self.staging.append(span.file, block[span.range.slice_from(start)])
        self._filled_bytes = 0

    def finish(self) -> StoredLayer:
        """The layer, published, now that its stored bytes are proven. Raises `BadArchive`, `CacheUnusable`."""
        if self.refusal is not None:
            raise self.refusal
        try:
            self._decompressor.finish()
            self._end_block()
            diff_id = Digest("sha256", self._hash.hexdigest())
            index = self._index.finish(self._compression, self._blob.size_bytes, diff_id)
        except BadArchive as error:
            self._refuse(error)
            raise
        return self.staging.publish(index)

    def _refuse(self, error: BadArchive) -> None:
        self.refusal = error
        self.staging.discard()  # the rest is only hashed: that may take long, and others want the room


@final
class InflatingFetch:
    """One try to fetch, prove and keep a layer. `run` once; `whole` is the evidence of what came, right or wrong."""

    def __init__(
        self,
        *,
        engine: Engine,
        reader: RangeReader,
        blob: Descriptor,
        compression: Compression,
        tar: bool,
        fresh: bool,
        urgency: Callable[[], Urgency],
        size_bytes: int | None = None,
        expected_bytes: int = 0,
    ) -> None:
        """`size_bytes`: of the content, as the artifact says; more is refused. `expected_bytes`: the same, by an earlier proof."""
        self._engine, self._reader, self._blob = engine, reader, blob
        self._compression, self._tar = compression, tar
        self._limit_bytes = content_limit(blob.size_bytes) if size_bytes is None else size_bytes
        self._expected_bytes = expected_bytes or size_bytes or 0
        self._inflation: Inflation | None = None
        self._worthless = False  # what is in `_inflation` came from bytes that come anew
        grid = grid_of(None, blob.size_bytes)
        self.whole = WholeFetch(
            engine=engine,
            reader=reader,
            blob=blob,
            grid=grid,
            staging=None,
            tar=False,
            fresh=fresh,
            urgency=urgency,
            taker=self,
        )

    async def run(self) -> StoredLayer:
        """The layer, published.

        Raises `Mismatch` when the bytes are wrong, `BadArchive` when they are right and not what they are said to be,
        `CacheUnusable` where there is no room, `Unreachable` when nothing came for too long, `NotFound`, `NotAuthorised`. Nothing
        is left behind then, nor when it is cancelled.
        """
        try:
            await self._learn_size()
            await self._begin()  # before the first byte: there may be no room
            await self.whole.run()
            inflation = await self._current()
            return await self._engine.hashing(inflation.finish)
        finally:
            if self._inflation is not None:
                with trio.CancelScope(shield=True):
                    await self._engine.on_disk(self._inflation.staging.discard)

    async def _learn_size(self) -> None:
        """Asks the end of a gzip layer how large its content is; of a small one, that is not worth the request."""
        size_bytes = self._blob.size_bytes
        if self._expected_bytes or self._compression != "gzip" or size_bytes < RANGE_BYTES:
            return
        tail = ByteRange(size_bytes - gzip.SIZE_BYTES, size_bytes)
        into = bytearray(tail.length)
        try:
            with memoryview(into) as view:
                await receive(self._reader, self._blob, tail, view)
        except RangesIgnored:
            return
        self._expected_bytes = min(self._limit_bytes, gzip.content_size_hint(bytes(into)))

    async def _begin(self) -> Inflation:
        def begin() -> Inflation:
            if self._inflation is not None:
                self._inflation.staging.discard()
            staging = self._engine.cache.stage_growing(self._blob.digest, self._expected_bytes)
            return Inflation(staging, self._blob, self._compression, self._limit_bytes, tar=self._tar)

        self._inflation, self._worthless = await self._engine.on_disk(begin), False
        return self._inflation

    async def _current(self) -> Inflation:
        return await self._begin() if self._inflation is None or self._worthless else self._inflation

    # --- `content.frontier.InOrder`

    def restart(self) -> None:
        """See `InOrder`."""
        self._worthless = True

    async def take(self, data: memoryview) -> None:
        """See `InOrder`. Raises `CacheUnusable`."""
        inflation = await self._current()
        pieces = inflation.feed(data)
        while await self._engine.hashing(inflation.turn, pieces):
            pass
