"""The table of an uncompressed tar: from its headers at the registry (provisional), or from bytes under a chunk index (proven)."""

from collections.abc import Awaitable, Callable
from functools import partial

from mkfs.archive.entry import Table
from mkfs.archive.tar import TarScanner
from mkfs.archive.windows import TAIL_BYTES, next_window
from mkfs.content.reads import Buffer
from mkfs.content.receive import IMPATIENT_SECONDS, receive
from mkfs.content.together import all_done
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import RangeReader


async def fetch_table(reader: RangeReader, blob: Descriptor) -> Table:
    """What the headers say, by ranged reads: head and tail at once, so that a layer of one large entry costs one round trip, then
    from header to header.

    Nothing of it is proven: neither names nor sizes. Raises `BadArchive`, `RangesIgnored`, `Unreachable`, `NotFound`,
    `NotAuthorised`.
    """
    scanner = TarScanner(blob.size_bytes, f"layer {blob.digest}")
    if scanner.wants is None:
        return scanner.table()
    head = next_window(scanner.wants, blob.size_bytes)
    tail = ByteRange(max(head.stop, blob.size_bytes - TAIL_BYTES), blob.size_bytes)
    windows = {window: bytearray(window.length) for window in (head, tail)}

    async def read(window: ByteRange, into: bytearray) -> None:
        with memoryview(into) as view:
            await receive(reader, blob, window, view, give_up_seconds=IMPATIENT_SECONDS)

    await all_done(partial(read, window, into) for window, into in windows.items())
    scanner.feed(head.start, windows[head])
    previous = head
    while scanner.wants is not None:
        if scanner.wants.start >= tail.start:
            scanner.feed(tail.start, windows[tail])
            continue
        window = next_window(scanner.wants, blob.size_bytes, previous)
        window = ByteRange(window.start, min(window.stop, tail.start))  # the rest is here already
        into = bytearray(window.length)
        await read(window, into)
        scanner.feed(window.start, into)
        previous = window
    return scanner.table()


async def proven_table(read: Callable[[ByteRange], Awaitable[Buffer]], index: ChunkIndex) -> Table:
    """The table of a layer by `read`, which gives proven bytes of it. Raises `BadArchive`, and what `read` raises."""
    size_bytes = index.grid.size_bytes
    scanner = TarScanner(size_bytes, f"layer {index.layer}")
    window: ByteRange | None = None
    while scanner.wants is not None:
        window = next_window(scanner.wants, size_bytes, window)
        scanner.feed(window.start, bytes(await read(window)))
    return scanner.table()
