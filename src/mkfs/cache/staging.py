"""Staging: a layer on its way in. Unproven bytes, private to one owner, until `publish` makes them readable in one step.

Theory. The owner has a directory in `staging/`, claimed for its life (`cache.claims`). All files are made and their blocks reserved
before the first byte comes, so a full disk is met there and not in the middle. Writes are positional, from private memory, in any
order and from several threads. Nothing is mapped and no descriptor stays open for writing, so a published file has no writer.
Publishing is one rename of the directory: a reader sees all of the layer or nothing, and of two publishers the second takes what
the first has published.

Atomic: a write that began before `publish` ends before the rename; one that comes later is refused. Bytes that were written twice,
or whose write failed, may not be what the last writer meant: their chunks are hashed from the disk before anybody reads them.
"""

import os
import threading
from typing import Final, Self, final

from mkfs.cache.claims import Claim, claim_directory
from mkfs.cache.coverage import Coverage
from mkfs.cache.files import Buffer, create, discard, open_to_read, open_to_write, write_at
from mkfs.cache.publishing import publish
from mkfs.cache.shared import Shared
from mkfs.cache.space import reserve, unusable
from mkfs.cache.stored import StoredLayer
from mkfs.cache.stored_file import stored_name
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange

_EXTRA_INODES: Final = 2  # the directory and the index


@final
class Staging:
    """Receives one layer. End it with `publish` or `discard`; a process that dies leaves it to the next one's sweep."""

    __slots__ = ("_blob", "_claim", "_closed", "_grid", "_idle", "_shared", "_staging", "_suspects", "_writers", "_written")

    def __init__(self, shared: Shared, blob: Descriptor, grid: Grid, claim: Claim) -> None:
        self._shared, self._blob, self._grid, self._claim = shared, blob, grid, claim
        self._staging = shared.layout.staging
        self._idle = threading.Condition()
        self._written = Coverage()
        self._suspects: set[int] = set()
        self._writers = 0
        self._closed = False

    @classmethod
    def begin(cls, shared: Shared, blob: Descriptor, grid: Grid) -> Self:
        """Makes room for `grid.size_bytes` of layer `blob.digest`. Blocks. Raises `CacheUnusable`; then nothing is left behind."""
        where, layout = f"layer {blob.digest} in {shared.layout.path}", shared.layout
        try:
            with shared.room.reserving(grid.size_bytes, len(grid.file_sizes) + _EXTRA_INODES, where):
                claim = claim_directory(layout.staging)
                staging = cls(shared, blob, grid, claim)
                try:
                    for file, size_bytes in grid.file_sizes.items():
                        reserve(create(stored_name(file), claim.file), size_bytes)
                except OSError:
                    staging.discard()
                    raise
        except OSError as error:
            raise unusable(error, grid.size_bytes, where) from error
        return staging

    def write(self, start: int, data: Buffer) -> None:
        """Stores `data` (items of one byte) as the layer's bytes from `start` on. Blocks: call it in threads, as many as you like.

        Raises `CacheUnusable` where the disk fails, `ValueError` for bytes outside the layer or after the end of this staging.
        """
        wanted = ByteRange(start, start + len(data))
        if wanted.stop > self._grid.size_bytes:
            raise ValueError(f"bytes {wanted} leave the layer of {self._grid.size_bytes} bytes")
        with self._idle:
            self._refuse_closed()
            self._writers += 1
        failed = True
        try:
            with memoryview(data) as view:
                for span in self._grid.spans(wanted):
                    file = open_to_write(stored_name(span.file), self._claim.file)
                    with view[span.range.start - start : span.range.stop - start] as part:
                        write_at(file, part, span.file_offset)
            failed = False
        except OSError as error:
            raise unusable(error, self._grid.size_bytes, self._where) from error
        finally:
            with self._idle:
                if failed or self._written.add(wanted):
                    self._suspects.update(self._grid.chunks(wanted))
                self._writers -= 1
                self._idle.notify_all()

    def read_unproven(self, wanted: ByteRange) -> bytes | None:
        """Bytes of the layer as they came, for whoever may have them unproven; None where they are not all here. Blocks.

        Raises `OSError`.
        """
        with self._idle:
            if self._closed or not self._written.covers(wanted):
                return None
        parts = []
        for span in self._grid.spans(wanted):
            file = open_to_read(stored_name(span.file), self._claim.file)
            parts.append(os.pread(file.fd, span.range.length, span.file_offset))
        content = b"".join(parts)
        return content if len(content) == wanted.length else None

    def publish(self, index: ChunkIndex) -> StoredLayer:
        """Makes the layer readable, under `index`; the caller has proven that the bytes it wrote are the layer's. Blocks.

        Somebody else may have published the layer meanwhile: then this is discarded and theirs is the answer (its own `index` may
        cut the layer in another way). Raises `CacheUnusable` where the disk fails: then this is discarded, too. Raises `ValueError`
        if bytes are missing or `index` is of something else: then this goes on.
        """
        with self._idle:
            self._refuse_closed()
            self._idle.wait_for(lambda: not self._writers)
            self._refuse_closed()
            if index.layer != self._blob.digest or index.grid != self._grid:
                raise ValueError(f"{index!r} is not that of this staging")
            if not self._written.covers(ByteRange(0, self._grid.size_bytes)):
                raise ValueError("bytes of the layer are missing")
            self._closed = True
        try:
            return publish(self._shared, self._claim, index, self._suspects)
        except OSError as error:
            raise unusable(error, self._grid.size_bytes, self._where) from error

    def discard(self) -> None:
        """Ends this staging and removes what was written. Does nothing after `publish` or a second time; raises nothing. Blocks."""
        with self._idle:
            if self._closed:
                return
            self._closed = True
            self._idle.wait_for(lambda: not self._writers)
        discard(self._claim.name, self._staging)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"staging of layer {self._blob.digest} has ended")

    @property
    def _where(self) -> str:
        return f"layer {self._blob.digest} in {self._shared.layout.path}"
