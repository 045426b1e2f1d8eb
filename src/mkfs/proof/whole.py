"""The proof of a whole layer of known size, made while its bytes come by: digests of its chunks in whatever order these come, its
own digest and its table in the order of the layer.

That its bytes are no tar is a verdict on the layer only if its digest matches in the end; else it is one more sign that the bytes
are wrong, and so it is kept in mind until then.
"""

from typing import final

from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Verifier
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex, digests_of
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange


@final
class WholeProof:
    """The proof of `blob`, cut by `grid`; `tar`: whether it has a table. Any thread may call, but `feed` not in two at once."""

    __slots__ = ("_bad_archive", "_blob", "_digests", "_grid", "_scanner", "_verifier")

    def __init__(self, blob: Descriptor, grid: Grid, *, tar: bool) -> None:
        self._blob, self._grid = blob, grid
        self._digests = bytearray(grid.count * DIGEST_BYTES)
        self._verifier = Verifier(blob.digest, blob.size_bytes)
        self._scanner: TarScanner | None = None
        self._bad_archive: BadArchive | None = None
        if tar:
            try:
                self._scanner = TarScanner(blob.size_bytes, f"layer {blob.digest}")
            except BadArchive as error:  # its size says so alone
                self._bad_archive = error

    def take_chunks(self, chunks: range, data: memoryview) -> None:
        """Takes the digests of the chunks numbered `chunks`, whose bytes are `data`. In any order."""
        start = chunks.start * DIGEST_BYTES
        self._digests[start : start + len(chunks) * DIGEST_BYTES] = digests_of(self._grid, chunks, data)

    def feed(self, start: int, data: memoryview) -> None:
        """Takes the layer's bytes from `start` on, which is where those before ended. Raises `Mismatch` for more than promised."""
        self._verifier.feed(data)
        if self._scanner is not None and self._bad_archive is None:
            try:
                self._scanner.feed(start, data)
            except BadArchive as error:
                self._bad_archive = error

    def finish(self) -> ChunkIndex:
        """The layer's index, with its table, now that every chunk was taken and every byte fed. To be asked once.

        Raises `Mismatch` when the bytes are wrong, `BadArchive` when they are right but no tar.
        """
        self._verifier.finish()
        if self._bad_archive is not None:
            raise self._bad_archive
        return ChunkIndex(self._blob.digest, self._grid, bytes(self._digests), self._scanner.table() if self._scanner else None)

    def differing(self, other: "WholeProof") -> ByteRange | None:
        """The smallest range of the layer, at chunk borders, outside which both took the same digests; None if they agree. Both
        are of one layer and grid.
        """
        apart = [number for number in range(self._grid.count) if self.digest_of(number) != other.digest_of(number)]
        return ByteRange(self._grid.chunk_range(apart[0]).start, self._grid.chunk_range(apart[-1]).stop) if apart else None

    def digest_of(self, number: int) -> bytes:
        """The raw sha256 of chunk `number`, as it came; zeros where it did not."""
        return bytes(self._digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES])
