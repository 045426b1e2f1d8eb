"""Staging: a layer on its way in. Unproven bytes, private to one owner, until `publish` makes them readable in one step.

Theory. The owner has a directory in `staging/`, claimed for its life (`cache.claims`). All files are made and their blocks reserved
before the first byte comes, so a full disk is met there and not in the middle. Writes are positional, from private memory, in any
order and from several threads. Nothing is mapped and no descriptor stays open for writing, so a published file has no writer.
Publishing is one rename of the directory: a reader sees all of the layer or nothing, and of two publishers the second takes what
the first has published. A ledger notes which chunks were written, so that another one can go on with what is left behind, by a
process that dies or by `leave` (`cache.leftovers`).

Atomic: a write that began before `publish` ends before the rename; one that comes later is refused. Bytes that were written twice,
or by another process, or whose write failed, may not be what the last writer meant: their chunks are hashed from the disk before
anybody reads them.
"""

import errno
import fcntl
import os
import threading
from contextlib import suppress
from functools import partial
from typing import Final, Self, final

from mkfs.cache import leftovers
from mkfs.cache.claims import Claim, claim_directory
from mkfs.cache.coverage import Coverage
from mkfs.cache.files import Buffer, create, discard, open_to_read, open_to_write, write_at
from mkfs.cache.ledger import NAME as LEDGER
from mkfs.cache.ledger import Ledger, empty_ledger
from mkfs.cache.publishing import publish
from mkfs.cache.shared import Shared
from mkfs.cache.space import reserve, unusable
from mkfs.cache.stored import StoredLayer
from mkfs.cache.stored_file import stored_name
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid
from mkfs.ranges import ByteRange

_EXTRA_INODES: Final = 2  # the directory, and the ledger that goes before the index comes


@final
class Staging:
    """Receives one layer. End it with `publish`, `discard` or `leave`; a process that dies leaves it, too."""

    __slots__ = (
        "_blob",
        "_claim",
        "_closed",
        "_grid",
        "_idle",
        "_inherited",
        "_ledger",
        "_shared",
        "_staging",
        "_suspects",
        "_writers",
        "_written",
    )

    def __init__(self, shared: Shared, blob: Descriptor, grid: Grid, claim: Claim) -> None:
        self._shared, self._blob, self._grid, self._claim = shared, blob, grid, claim
        self._staging = shared.layout.staging
        self._ledger: Ledger | None = None
        self._idle = threading.Condition()
        self._written = Coverage()
        self._inherited: frozenset[int] = frozenset()
        self._suspects: set[int] = set()
        self._writers = 0
        self._closed = False

    @classmethod
    def begin(cls, shared: Shared, blob: Descriptor, grid: Grid, *, anew: bool = False) -> Self:
        """Makes room for `grid.size_bytes` of layer `blob.digest`, or goes on with what was left of it, but not if `anew`. Blocks.

        Raises `CacheUnusable`; then nothing is left behind.
        """
        where, layout = f"layer {blob.digest} in {shared.layout.path}", shared.layout
        left = None if anew else leftovers.inherit(layout, blob.digest, grid)
        try:
            if left is not None:
                with shared.room.reserving(0, 0, where):  # its blocks are there; the limits may be narrower than they were
                    staging = cls(shared, blob, grid, left.claim)
                    staging._go_on_with(left.ledger)
                    return staging
            with shared.room.reserving(grid.size_bytes, len(grid.file_sizes) + _EXTRA_INODES, where):
                claim = claim_directory(layout.staging, partial(leftovers.name_for, blob.digest))
                staging = cls(shared, blob, grid, claim)
                try:
                    for file, size_bytes in grid.file_sizes.items():
                        reserve(create(stored_name(file), claim.file), size_bytes)
                    index = leftovers.unproven(blob.digest, grid)
                    write_at(create(LEDGER, claim.file), empty_ledger(index), 0)  # last: what has one lacks its bytes only
                    staging._ledger = Ledger.open(claim.file, index)
                except OSError:
                    staging.discard()
                    raise
        except OSError as error:
            raise unusable(error, grid.size_bytes, where) from error
        return staging

    def _go_on_with(self, ledger: Ledger) -> None:
        self._ledger = ledger
        with suppress(OSError):
            self._inherited = frozenset(range(self._grid.count)).difference(ledger.missing(range(self._grid.count)))
        for number in self._inherited:
            self._written.add(self._grid.chunk_range(number))
        self._suspects.update(self._inherited)

    def inherited(self, chunks: range) -> bool:
        """Whether the chunks numbered `chunks` were all written by an earlier owner: then `read` them instead of fetching them."""
        return self._inherited.issuperset(chunks)

    def read(self, start: int, into: memoryview) -> None:
        """Fills `into` with the layer's bytes from `start` on, as they were written, unproven. Blocks. Raises `CacheUnusable`."""
        try:
            self._read_files(start, into)
        except OSError as error:
            raise unusable(error, self._grid.size_bytes, self._where) from error

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
                    with view[span.range.slice_from(start)] as part:
                        write_at(file, part, span.file_offset)
            self._note(wanted)
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
        """What this owner received of `wanted`, for whoever may have it unproven; None where it is not all here. Blocks.

        Raises `OSError`.
        """
        with self._idle:
            if self._closed or not self._written.covers(wanted) or not self._inherited.isdisjoint(self._grid.chunks(wanted)):
                return None
            content = bytearray(wanted.length)
        with memoryview(content) as into:
            self._read_files(wanted.start, into)
        return bytes(content)

    def _read_files(self, start: int, into: memoryview) -> None:
        for span in self._grid.spans(ByteRange(start, start + len(into))):
            file = open_to_read(stored_name(span.file), self._claim.file)
            with into[span.range.slice_from(start)] as part:
                if os.preadv(file.fd, [part], span.file_offset) != len(part):
                    raise OSError(errno.EIO, "the file is shorter than it should be")

    def _note(self, written: ByteRange) -> None:
        """Notes the chunks that lie within `written`."""
        for number in self._grid.chunks(written):
            chunk = self._grid.chunk_range(number)
            if self._ledger is not None and written.start <= chunk.start and chunk.stop <= written.stop:
                self._ledger.set(number, stored=True)

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
            self._closed, self._ledger = True, None
        try:
            discard(LEDGER, self._claim.file)
            return publish(self._shared, self._claim, index, self._suspects)
        except OSError as error:
            raise unusable(error, self._grid.size_bytes, self._where) from error

    def discard(self) -> None:
        """Ends this staging and removes what was written. Does nothing after `publish` or a second time; raises nothing. Blocks."""
        with self._idle:
            if self._closed:
                return
            self._closed, self._ledger = True, None
            self._idle.wait_for(lambda: not self._writers)
        discard(self._claim.name, self._staging)

    def leave(self) -> None:
        """Ends this staging and leaves what was written to the next one who wants the layer, if it is of any use to him. Raises
        nothing, as `discard`. Blocks.
        """
        with self._idle:
            if self._closed:
                return
            self._idle.wait_for(lambda: not self._writers)
            if leftovers.is_useful(self._shared.layout, self._blob.digest, self._claim.file):
                self._closed, self._ledger = True, None
                with suppress(OSError):
                    fcntl.flock(self._claim.file.fd, fcntl.LOCK_UN)
        self.discard()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"staging of layer {self._blob.digest} has ended")

    @property
    def _where(self) -> str:
        return f"layer {self._blob.digest} in {self._shared.layout.path}"
