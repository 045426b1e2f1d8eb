"""The table of an uncompressed tar: from its headers at the registry (provisional), or from bytes under a chunk index (proven)."""

from collections.abc import Awaitable, Callable
from functools import partial

from mkfs.archive.entry import Table
from mkfs.archive.tar import TarScanner
from mkfs.archive.windows import TAIL_BYTES, is_padded, next_window
from mkfs.content.reads import Buffer
from mkfs.content.receive import IMPATIENT_SECONDS, receive
from mkfs.content.together import all_done
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader


async def fetch_table(reader: RangeReader, blob: Descriptor) -> Table:
    """What the headers say, by ranged reads from header to header. A layer of one large entry costs one round trip: either its head
    tells that nothing else is there, or head and tail are read at once (see `archive.windows`). Else the tail comes along with
    the next header.

    Nothing of it is proven: neither names nor sizes. Raises `BadArchive`, `RangesIgnored`, `Unreachable`, `NotFound`,
    `NotAuthorised`.
    """
    scanner = TarScanner(blob.size_bytes, f"layer {blob.digest}")
    window: ByteRange | None = None
    tail: ByteRange | None = None
    tail_bytes = bytearray()

    async def read(window: ByteRange, into: bytearray) -> None:
        with memoryview(into) as view:
            await receive(reader, blob, window, view, give_up_seconds=IMPATIENT_SECONDS)

    while scanner.wants is not None and not scanner.is_filled:
        if tail and scanner.wants.start >= tail.start:
            scanner.feed(tail.start, tail_bytes)
            break  # it ends where the layer does
        previous, window = window, next_window(scanner.wants, blob.size_bytes, window)
        wanted: dict[ByteRange, bytearray] = {}
        if tail is None and window.stop < blob.size_bytes and (previous or is_padded(blob.size_bytes)):
            tail = ByteRange(max(window.stop, blob.size_bytes - TAIL_BYTES), blob.size_bytes)
            wanted[tail] = tail_bytes = bytearray(tail.length)
        if tail:  # what follows is here already, or on its way
            window = ByteRange(window.start, min(window.stop, tail.start))
        wanted[window] = into = bytearray(window.length)
        await all_done(partial(read, *each) for each in wanted.items())
        scanner.feed(window.start, into)
    return tuple(scanner.entries_from(0))


async def proven_table(read: Callable[[ByteRange], Awaitable[Buffer]], index: ChunkIndex) -> Table:
    """The table of a layer by `read`, which gives proven bytes of it. Raises `BadArchive`, and what `read` raises."""
    size_bytes = index.grid.size_bytes
    scanner = TarScanner(size_bytes, f"layer {index.layer}")
    window: ByteRange | None = None
    while scanner.wants is not None:
        window = next_window(scanner.wants, size_bytes, window)
        scanner.feed(window.start, bytes(await read(window)))
    return scanner.table()
