"""The chunk index of a layer: sha256 of each of its chunks, the grid they are cut by, and the layer's table.

This is the index we make ourselves while a layer is proven and keep beside its bytes; it is believed because we wrote it, and its
encoding carries its own sha256 so that a damaged file is noticed and not believed. Signed indexes from elsewhere, with a format
of their own, come with part 3.

Encoding: one line of magic, the raw sha256 of the body, the body as MessagePack. Strict: unknown fields, a wrong tiling, a wrong
count of digests or entries that leave the layer are refused.
"""

import hashlib
import hmac
from typing import Final, final

import msgspec

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.errors import IntegrityError, Mismatch
from mkfs.oci.digest import Digest
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment
from mkfs.ranges import ByteRange

DIGEST_BYTES: Final = hashlib.sha256().digest_size
_MAGIC: Final = b"mkfs own chunk index 1\n"


@final
class ChunkIndex:
    """Which bytes each chunk of a layer must have. `digests` holds 32 bytes per chunk, in order; `table` is None for a raw
    layer.
    """

    __slots__ = ("digests", "grid", "layer", "table")

    def __init__(self, layer: Digest, grid: Grid, digests: bytes, table: Table | None) -> None:
        if len(digests) != grid.count * DIGEST_BYTES:
            raise IntegrityError(f"chunk index has a wrong length (got {len(digests)} bytes, expected {grid.count * DIGEST_BYTES})")
        self.layer, self.grid, self.digests, self.table = layer, grid, digests, table

    def digest_of(self, number: int) -> bytes:
        """The raw sha256 of chunk `number`."""
        return self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]

    def check(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Returns if `data` is chunk `number`. Raises `Mismatch`. May run in a thread."""
        expected = self.grid.chunk_range(number)
        if len(data) != expected.length:
            raise Mismatch(
                f"chunk {number} has a wrong length (got {len(data)} bytes, expected {expected.length})", f"layer {self.layer}"
            )
        got = hashlib.sha256(data).digest()
        digest = self.digest_of(number)
        if not hmac.compare_digest(got, digest):
            raise Mismatch(
                f"bytes {expected} do not match their digest (got sha256:{got.hex()}, expected sha256:{digest.hex()})",
                f"layer {self.layer}",
            )

    def encode(self) -> bytes:
        """The index as bytes for `decode`."""
        body = msgspec.msgpack.encode(
            _Body(
                layer=str(self.layer),
                size_bytes=self.grid.size_bytes,
                chunk_bytes=CHUNK_BYTES,
                segments=[(s.range.start, s.range.stop, s.file, s.file_offset) for s in self.grid.segments],
                digests=self.digests,
                table=None
                if self.table is None
                else [(e.path, e.kind.value, e.mode, e.size_bytes, e.content_offset, e.mtime_seconds, e.link) for e in self.table],
            )
        )
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def decode(cls, data: bytes) -> "ChunkIndex":
        """Reads what `encode` wrote. Raises `IntegrityError` for anything else."""
        head = len(_MAGIC) + DIGEST_BYTES
        body = data[head:]
        if not data.startswith(_MAGIC) or not hmac.compare_digest(data[len(_MAGIC) : head], hashlib.sha256(body).digest()):
            raise IntegrityError("own chunk index is damaged, or of another version")
        try:
            fields = msgspec.msgpack.decode(body, type=_Body)
            grid = Grid(fields.size_bytes, (Segment(ByteRange(a, b), file, at) for a, b, file, at in fields.segments))
            table = None if fields.table is None else tuple(_entry(row, fields.size_bytes) for row in fields.table)
        except (msgspec.DecodeError, ValueError) as error:
            raise IntegrityError(f"own chunk index does not decode: {error}") from error
        if fields.chunk_bytes != CHUNK_BYTES:
            raise IntegrityError(f"own chunk index has other chunks (got {fields.chunk_bytes} bytes, expected {CHUNK_BYTES})")
        return cls(Digest.parse(fields.layer), grid, fields.digests, table)

    def __repr__(self) -> str:
        return f"<ChunkIndex of {self.layer}, {self.grid!r}>"


def digests_of(grid: Grid, chunks: range, data: memoryview) -> bytes:
    """The raw sha256 digests of the chunks numbered `chunks`, whose bytes are `data`, one after another. May run in a thread."""
    start = grid.chunk_range(chunks.start).start if chunks else 0
    digests = bytearray()
    for number in chunks:
        chunk = grid.chunk_range(number)
        digests += hashlib.sha256(data[chunk.start - start : chunk.stop - start]).digest()
    return bytes(digests)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    layer: str
    size_bytes: int
    chunk_bytes: int
    segments: list[tuple[int, int, int, int]]
    digests: bytes
    table: list[tuple[bytes, str, int, int, int, int, bytes]] | None


def _entry(row: tuple[bytes, str, int, int, int, int, bytes], layer_bytes: int) -> Entry:
    path, kind, mode, size_bytes, content_offset, mtime_seconds, link = row
    if not ByteRange(0, layer_bytes).covers(ByteRange(content_offset, content_offset + size_bytes)):
        raise ValueError(f"entry {path[:80]!r} leaves the layer")
    return Entry(path, EntryKind(kind), mode, size_bytes, content_offset, mtime_seconds, link)
