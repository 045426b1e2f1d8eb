"""A published layer: proven bytes on disk, all of them, in files that are never written again. Any thread may read."""

import os
from collections.abc import Iterable
from typing import final

from mkfs.cache.chunk_reads import ChunkReads, Damaged
from mkfs.cache.files import Buffer, OpenFile
from mkfs.cache.shared import Shared
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange

__all__ = ["Damaged", "StoredLayer"]


@final
class StoredLayer:
    """Reads of one published layer. Stays readable after it was dropped, as far as its files are open. Close it when done.

    `identity` is the status of its directory: which one it is, among others that had or will have its name.
    """

    __slots__ = ("_reads", "identity", "index")

    def __init__(self, shared: Shared, index: ChunkIndex, directory: OpenFile) -> None:
        self.index = index
        self.identity = os.fstat(directory.fd)
        self._reads = ChunkReads(shared, index, directory, growing=False)

    def trust_received(self, suspects: Iterable[int]) -> None:
        """Says that this process received and proved all chunks but `suspects`. Only for whoever has just published the layer."""
        for number in set(range(self.index.grid.count)).difference(suspects):
            self._reads.trust(number)

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` (within the layer) if they are in memory and known to be right, else None. Never blocks."""
        return self._reads.read_now(wanted)

    def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted` (within the layer). Blocks: call it in a thread.

        Raises `Damaged` where they are not right or not readable any more, `CacheUnusable` where the process is short of something
        or the layer is closed.
        """
        return self._reads.read(wanted)

    def verify(self, number: int) -> None:
        """Reads chunk `number` from the disk and hashes it, whatever is known of it. Blocks. Raises as `read`."""
        self._reads.verify(number)

    def close(self) -> None:
        """Lets go of the files. Reads under way in other threads end well, later ones raise `CacheUnusable`. Twice is fine."""
        self._reads.close()
