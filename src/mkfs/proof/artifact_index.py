"""The chunk indexes of an artifact's layers as one document that travels beside the artifact. Format: docs/CHUNK_INDEX.md.

Decoding proves nothing: it says that the document has one meaning and keeps to the rules. Whether it is believed is decided by
`proof.policy`, from who vouches for its digest. Every value has exactly one encoding, so two documents that say the same are the
same bytes: whatever `encode` would not have written is refused.

Memory: encoding and decoding hold about twice the document, and the entries of its tables (some 0.5 KiB each).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal, Self, final

import msgspec

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.names import show_name
from mkfs.errors import BadDigest, IntegrityError
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import SIZE_LIMIT_BYTES
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment, grid_of
from mkfs.proof.tables import check_table
from mkfs.ranges import ByteRange
from mkfs.tree.growing import NODES_LIMIT
from mkfs.units import MIB

# 32 bytes per MiB of content and some 50 per entry: two TiB of weights, or a million files. A person's machine reads it whole.
DOCUMENT_LIMIT_BYTES: Final = 64 * MIB
VERSION: Final = 1


@final
class ArtifactIndex:
    """Chunk indexes of the layers of one artifact: of all, or of those worth one. `subject` is the digest of its manifest.

    `layers` are sorted by digest, each digest stands once. Raises `IntegrityError` for layers that contradict themselves: a digest
    twice, a grid that is not that of the table, a table that no tar could have.
    """

    __slots__ = ("layers", "subject")

    def __init__(self, subject: Digest, layers: Iterable[ChunkIndex]) -> None:
        self.subject = subject
        self.layers = tuple(sorted(layers, key=lambda layer: layer.layer))
        for first, second in pairwise(self.layers):
            if first.layer == second.layer:
                raise IntegrityError("chunk index has a layer twice", f"layer {first.layer}")
        if sum(len(layer.table or ()) for layer in self.layers) > NODES_LIMIT:
            raise IntegrityError(f"chunk index has more than {NODES_LIMIT} entries", f"of {subject}")
        for layer in self.layers:
            if layer.table is not None:
                check_table(layer.table, layer.grid.size_bytes, f"layer {layer.layer}")
            if layer.grid != grid_of(layer.table, layer.grid.size_bytes):
                raise IntegrityError("segments are not those of the table", f"layer {layer.layer}")

    def encode(self) -> bytes:
        """The document. Raises `IntegrityError` where it would be larger than `DOCUMENT_LIMIT_BYTES`."""
        data = msgspec.msgpack.encode(_document(self))
        if len(data) > DOCUMENT_LIMIT_BYTES:
            raise IntegrityError(f"chunk index is too large (got {len(data)} bytes, expected at most {DOCUMENT_LIMIT_BYTES})")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` wrote, and nothing else. Raises `IntegrityError`."""
        if len(data) > DOCUMENT_LIMIT_BYTES:
            raise IntegrityError(f"chunk index is too large (got {len(data)} bytes, expected at most {DOCUMENT_LIMIT_BYTES})")
        try:
            document = msgspec.msgpack.decode(data, type=_Document)
            encoded = bytearray(len(data))  # what is right fits; left to itself, the encoder takes half as much again
            msgspec.msgpack.Encoder().encode_into(document, encoded)
            if encoded != data:
                raise IntegrityError("chunk index is not in its one encoding")
            del encoded
            index = cls(Digest.parse(document.subject), [_read(layer) for layer in document.layers])
        except (msgspec.DecodeError, ValueError, BadDigest) as error:
            raise IntegrityError(f"chunk index does not decode{_other_version(data)}: {error}") from error
        if [str(layer.layer) for layer in index.layers] != [layer.digest for layer in document.layers]:
            raise IntegrityError("chunk index has its layers out of order")
        return index

    def check_subject(self, subject: Digest, layers: Sequence[Descriptor]) -> None:
        """Returns if this is an index of the manifest with digest `subject` and these layers: it may lack some of them, not have
        others. Raises `IntegrityError`.
        """
        if self.subject != subject:
            raise IntegrityError(f"chunk index is of another artifact (got {self.subject}, expected {subject})")
        for index in self.layers:
            described = [layer for layer in layers if layer.digest == index.layer]
            if not described:
                raise IntegrityError("chunk index has a layer that the manifest has not", f"layer {index.layer}")
            for layer in described:
                _check_size(index, layer)

    def __repr__(self) -> str:
        return f"<ArtifactIndex of {self.subject}, {len(self.layers)} layers>"


def check_layer(index: ChunkIndex, layer: Descriptor, compression: Compression) -> None:
    """Returns if `index`, which is of this layer, has the size and compression that the manifest says. Raises `IntegrityError`."""
    _check_size(index, layer)
    if index.compression != compression:
        got = f"got {index.compression or 'none'}, expected {compression or 'none'}"
        raise IntegrityError(f"chunk index has another compression than the manifest ({got})", f"layer {layer.digest}")


def agree(a: ArtifactIndex, b: ArtifactIndex) -> None:
    """Returns if two indexes do not contradict each other in the layers that both have. Raises `IntegrityError` naming layer and
    range.
    """
    others = {layer.layer: layer for layer in b.layers}
    for layer in a.layers:
        if layer.layer in others:
            agree_on_layer(layer, others[layer.layer])


def agree_on_layer(a: ChunkIndex, b: ChunkIndex) -> None:
    """The same for two chunk indexes of one layer. One without a table says less, not otherwise: of differently cut grids only the
    chunks they share are compared. Raises `IntegrityError`.
    """
    where = f"layer {a.layer}"
    if (a.layer, a.grid.size_bytes, a.stored_bytes, a.compression) != (b.layer, b.grid.size_bytes, b.stored_bytes, b.compression):
        raise IntegrityError("two trusted chunk indexes disagree about the size or compression of a layer", where)
    if a.table is not None and b.table is not None and a.table != b.table:
        raise IntegrityError(
            f"two trusted chunk indexes disagree about the entries of a layer ({_first_entry(a.table, b.table)})", where
        )
    if a.grid == b.grid and a.digests == b.digests:
        return  # what is usual, and two million chunks take seconds
    for number in range(b.grid.count):
        chunk = b.grid.chunk_range(number)
        other = a.grid.chunk_at(chunk.start)
        if a.digest_of(other) != b.digest_of(number) and a.grid.chunk_range(other) == chunk:
            raise IntegrityError(f"two trusted chunk indexes disagree about bytes {chunk}", where)


class _Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    path: bytes
    kind: EntryKind
    mode: int
    size_bytes: int
    content_offset: int
    mtime_seconds: int
    link: bytes


class _Segment(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    length: int  # where it starts, in the content and in its file, follows from those before it
    file: int


class _Layer(msgspec.Struct, forbid_unknown_fields=True):
    digest: str
    stored_bytes: int
    compression: Compression
    content_bytes: int
    chunk_bytes: int
    segments: list[_Segment]
    table: list[_Entry] | None
    digests: memoryview
    chaining: None  # for SHA-256 chaining values, when there is a use for them


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    subject: str
    layers: list[_Layer]


class _AnyVersion(msgspec.Struct):
    version: int


def _document(index: ArtifactIndex) -> _Document:
    return _Document(VERSION, str(index.subject), [_written(layer) for layer in index.layers])


def _written(layer: ChunkIndex) -> _Layer:
    return _Layer(
        digest=str(layer.layer),
        stored_bytes=layer.stored_bytes,
        compression=layer.compression,
        content_bytes=layer.grid.size_bytes,
        chunk_bytes=CHUNK_BYTES,
        segments=[_Segment(segment.range.length, segment.file) for segment in layer.grid.segments],
        table=None
        if layer.table is None
        else [_Entry(e.path, e.kind, e.mode, e.size_bytes, e.content_offset, e.mtime_seconds, e.link) for e in layer.table],
        digests=memoryview(layer.digests),
        chaining=None,
    )


def _read(layer: _Layer) -> ChunkIndex:
    if layer.chunk_bytes != CHUNK_BYTES:
        raise ValueError(f"layer {layer.digest} has other chunks (got {layer.chunk_bytes} bytes, expected {CHUNK_BYTES})")
    if max(layer.stored_bytes, layer.content_bytes) >= SIZE_LIMIT_BYTES:
        raise ValueError(f"layer {layer.digest} is larger than a layer can be")
    return ChunkIndex(
        Digest.parse(layer.digest),
        Grid(layer.content_bytes, _segments(layer.segments)),
        bytes(layer.digests),
        None
        if layer.table is None
        else tuple(Entry(e.path, e.kind, e.mode, e.size_bytes, e.content_offset, e.mtime_seconds, e.link) for e in layer.table),
        compression=layer.compression,
        stored_bytes=layer.stored_bytes,
    )


def _segments(segments: Iterable[_Segment]) -> Iterator[Segment]:
    at, filled = 0, defaultdict[int, int](int)
    for segment in segments:
        yield Segment(ByteRange(at, at + segment.length), segment.file, filled[segment.file])
        at += segment.length
        filled[segment.file] += segment.length


def _check_size(index: ChunkIndex, layer: Descriptor) -> None:
    if index.stored_bytes != layer.size_bytes:
        got = f"got {index.stored_bytes} bytes, expected {layer.size_bytes}"
        raise IntegrityError(f"chunk index has another size than the manifest ({got})", f"layer {layer.digest}")


def _first_entry(a: Table, b: Table) -> str:
    """The first entry in which two tables differ, for a message."""
    for one, other in zip(a, b, strict=False):
        if one != other:
            return f"first at {show_name(one.path)}"
    return f"one has {len(a)}, the other {len(b)}"


def _other_version(data: bytes) -> str:
    try:
        version = msgspec.msgpack.decode(data, type=_AnyVersion).version
    except (msgspec.DecodeError, RecursionError):  # what it does not know it passes over, however deep that is
        return ""
    return "" if version == VERSION else f" (it is of version {version}, expected {VERSION})"
