"""Proving a layer that is read by chunks as a whole: under somebody else's chunk index each chunk is what that index says; whether
the index says what the layer's digest promises is known when all bytes passed by once.
"""

import hashlib
from collections.abc import Awaitable, Callable

from mkfs.archive.tar import TarScanner
from mkfs.content.buffers import RANGE_BYTES
from mkfs.content.engine import Engine
from mkfs.content.reads import Buffer
from mkfs.errors import BadArchive, IntegrityError, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest, Verifier
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange


async def settle(
    *,
    engine: Engine,
    blob: Descriptor,
    index: ChunkIndex,
    read: Callable[[ByteRange], Awaitable[Buffer]],
    progress: Callable[[int], None],
) -> None:
    """Returns when all bytes of `blob`, which `read` gives in answer to ranges, have its digest and the table of `index`.

    `progress` is told how many bytes each step passed. Raises `IntegrityError` naming the layer where they do not (`index` is
    wrong then, as every chunk was what it says), and what `read` raises. Cancelling leaves nothing behind.
    """
    verifier = Verifier(blob.digest, blob.size_bytes)
    scanner = None if index.table is None else TarScanner(blob.size_bytes, f"layer {blob.digest}")

    def take(start: int, data: Buffer) -> None:
        verifier.feed(data if isinstance(data, bytes) else memoryview(data))
        if scanner is not None:
            scanner.feed(start, data)

    try:
        for piece in ByteRange(0, blob.size_bytes).pieces(RANGE_BYTES):
            await engine.hashing(take, piece.start, await read(piece))
            progress(piece.length)
    except BadArchive as error:  # whoever made the index read a table out of it
        raise IntegrityError(f"the chunk index has a table, and the layer is no archive: {error.what}", error.where) from error
    try:
        verifier.finish()
    except Mismatch as error:
        what = f"every chunk is what the chunk index says, but the layer is not what its digest says: {error.what}"
        raise IntegrityError(what, f"bytes {ByteRange(0, blob.size_bytes)} of layer {blob.digest}") from error
    if scanner is not None and (scanner.wants is not None or scanner.table() != index.table):
        raise IntegrityError("names or sizes in the chunk index are not those in the layer", f"layer {blob.digest}")


async def rehash(
    *, engine: Engine, index: ChunkIndex, read: Callable[[ByteRange], Awaitable[Buffer]], progress: Callable[[int], None]
) -> Digest:
    """The digest of the content, when every chunk of it, which `read` gives in answer to ranges, was hashed and is what `index`
    says. For a compressed layer, whose content has no digest that anything rests on.

    `progress` is told, in bytes as stored, how much each step passed. Raises `Mismatch`, and what `read` raises.
    """
    whole = hashlib.sha256()
    told_bytes = 0

    def take(number: int, data: Buffer) -> None:
        index.check(number, data)
        whole.update(data)

    for number in range(index.grid.count):
        chunk = index.grid.chunk_range(number)
        await engine.hashing(take, number, await read(chunk))
        done_bytes = index.stored_bytes * chunk.stop // index.grid.size_bytes
        progress(done_bytes - told_bytes)
        told_bytes = done_bytes
    return Digest("sha256", whole.hexdigest())
