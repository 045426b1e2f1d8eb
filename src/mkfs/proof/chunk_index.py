"""The chunk index of a layer: sha256 of each of its chunks, the grid they are cut by, and the layer's table.

This is the index we make ourselves while a layer is proven and keep beside its bytes; it is believed because we wrote it, and its
encoding carries its own sha256 so that a damaged file is noticed and not believed. Indexes from elsewhere have a format of their
own (`proof.artifact_index`).

The grid, the digests and the table count the bytes of the layer's *content*: what is stored where nothing is compressed, what
decompression gives where it is.

Encoding: one line of magic, the raw sha256 of the body, the body as MessagePack. An index of a layer that is not compressed is
written as version 1 says, so that ledgers, which name their index by its encoding, and older programs on the same cache go on;
a compressed one is version 2, which adds how and how large it is stored, and the digest of the content where it is known. Strict:
unknown fields, a wrong tiling, a wrong count of digests or entries that leave the content are refused.
"""

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, final

import msgspec

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.errors import IntegrityError, Mismatch
from mkfs.formats.plan import Compression
from mkfs.oci.digest import Digest
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment
from mkfs.ranges import ByteRange

DIGEST_BYTES: Final = hashlib.sha256().digest_size
_MAGIC: Final = b"mkfs own chunk index 1\n"
_MAGIC_COMPRESSED: Final = b"mkfs own chunk index 2\n"
_HEAD_BYTES: Final = len(_MAGIC) + DIGEST_BYTES


@final
class ChunkIndex:
    """Which bytes each chunk of a layer must have. `digests` holds 32 bytes per chunk, in order; `table` is None for a raw
    layer.

    `layer` is the digest of the blob, `stored_bytes` its size, `compression` how it is compressed. Where it is not, `stored_bytes`
    and `diff_id`, the digest of the content, may be left out: they are the blob's then. Of compressed content whose digest nobody
    has taken, `diff_id` is None. Raises `IntegrityError` where these contradict each other.
    """

    __slots__ = ("compression", "diff_id", "digests", "grid", "layer", "stored_bytes", "table")

    def __init__(
        self,
        layer: Digest,
        grid: Grid,
        digests: bytes,
        table: Table | None,
        *,
        compression: Compression = "",
        stored_bytes: int | None = None,
        diff_id: Digest | None = None,
    ) -> None:
        if len(digests) != grid.count * DIGEST_BYTES:
            raise IntegrityError(f"chunk index has a wrong length (got {len(digests)} bytes, expected {grid.count * DIGEST_BYTES})")
        if stored_bytes is None and not compression:
            stored_bytes = grid.size_bytes
        if stored_bytes is None or (stored_bytes != grid.size_bytes and not compression) or stored_bytes < 0:
            got = f"got {stored_bytes} bytes stored, {grid.size_bytes} bytes of content, compression {compression!r}"
            raise IntegrityError(f"chunk index has a wrong stored size ({got})")
        if not compression and diff_id not in (None, layer):
            raise IntegrityError(f"chunk index has a wrong digest of the content (got {diff_id}, expected {layer})")
        self.layer, self.grid, self.digests, self.table = layer, grid, digests, table
        self.compression: Compression = compression
        self.stored_bytes: int = stored_bytes
        self.diff_id: Digest | None = diff_id if compression else layer

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
        body = _Body(
            layer=str(self.layer),
            size_bytes=self.grid.size_bytes,
            chunk_bytes=CHUNK_BYTES,
            segments=[(s.range.start, s.range.stop, s.file, s.file_offset) for s in self.grid.segments],
            digests=self.digests,
            table=None
            if self.table is None
            else [(e.path, e.kind.value, e.mode, e.size_bytes, e.content_offset, e.mtime_seconds, e.link) for e in self.table],
        )
        magic = _MAGIC
        if self.compression:
            magic = _MAGIC_COMPRESSED
            body = _CompressedBody(
                **msgspec.structs.asdict(body),
                compression=self.compression,
                stored_bytes=self.stored_bytes,
                diff_id=msgspec.UNSET if self.diff_id is None else str(self.diff_id),
            )
        encoded = msgspec.msgpack.encode(body)
        return magic + hashlib.sha256(encoded).digest() + encoded

    @classmethod
    def decode(cls, data: bytes) -> "ChunkIndex":
        """Reads what `encode` wrote. Raises `IntegrityError` for anything else."""
        form = _FORMS.get(data[: len(_MAGIC)])
        seal, encoded = data[len(_MAGIC) : _HEAD_BYTES], data[_HEAD_BYTES:]
        if form is None or not hmac.compare_digest(seal, hashlib.sha256(encoded).digest()):
            raise IntegrityError("own chunk index is damaged, or of another version")
        try:
            body = msgspec.msgpack.decode(encoded, type=form)
            grid = Grid(body.size_bytes, (Segment(ByteRange(a, b), file, at) for a, b, file, at in body.segments))
            table = None if body.table is None else tuple(_entry(row, body.size_bytes) for row in body.table)
        except (msgspec.DecodeError, ValueError) as error:
            raise IntegrityError(f"own chunk index does not decode: {error}") from error
        if body.chunk_bytes != CHUNK_BYTES:
            raise IntegrityError(f"own chunk index has other chunks (got {body.chunk_bytes} bytes, expected {CHUNK_BYTES})")
        layer = Digest.parse(body.layer)
        if isinstance(body, _CompressedBody):
            diff_id = None if body.diff_id is msgspec.UNSET else Digest.parse(body.diff_id)
            compression, stored_bytes = body.compression, body.stored_bytes
            return cls(layer, grid, body.digests, table, compression=compression, stored_bytes=stored_bytes, diff_id=diff_id)
        return cls(layer, grid, body.digests, table)

    def __repr__(self) -> str:
        return f"<ChunkIndex of {self.layer}, {self.grid!r}>"


def digests_of(grid: Grid, chunks: range, data: memoryview) -> bytes:
    """The raw sha256 digests of the chunks numbered `chunks`, whose bytes are `data`, one after another. May run in a thread."""
    start = grid.chunk_range(chunks.start).start if chunks else 0
    digests = bytearray()
    for number in chunks:
        chunk = grid.chunk_range(number)
        digests += hashlib.sha256(data[chunk.slice_from(start)]).digest()
    return bytes(digests)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    layer: str
    size_bytes: int
    chunk_bytes: int
    segments: list[tuple[int, int, int, int]]
    digests: bytes
    table: list[tuple[bytes, str, int, int, int, int, bytes]] | None


class _CompressedBody(_Body):
    compression: Literal["gzip", "zstd"]
    stored_bytes: int
    diff_id: str | msgspec.UnsetType = msgspec.UNSET  # not there: unknown, as to those who wrote indexes before it was kept


_FORMS: Final[Mapping[bytes, type[_Body]]] = MappingProxyType({_MAGIC: _Body, _MAGIC_COMPRESSED: _CompressedBody})


def _entry(row: tuple[bytes, str, int, int, int, int, bytes], layer_bytes: int) -> Entry:
    path, kind, mode, size_bytes, content_offset, mtime_seconds, link = row
    if not ByteRange(0, layer_bytes).covers(ByteRange(content_offset, content_offset + size_bytes)):
        raise ValueError(f"entry {path[:80]!r} leaves the layer")
    return Entry(path, EntryKind(kind), mode, size_bytes, content_offset, mtime_seconds, link)
