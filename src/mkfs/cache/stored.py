"""A published layer: proven bytes on disk, and how a read of them is answered.

Theory. A published file is never written again, but the disk may rot and a power failure may have kept writes from it. So what
comes from the disk is hashed where it enters: a chunk is read whole, past the page cache, into private memory, checked against the
chunk index, and answered from that buffer. What the page cache holds comes from proven writes (`cache.page_cache`); it answers for
chunks that this process has hashed or received itself. Where the file system cannot promise that, every answer is hashed.

Any thread may read. State per chunk is one byte, set whole; the worst a race can do is hash a chunk twice.
"""

import errno
import os
from collections.abc import Iterable
from functools import partial
from typing import Final, final

from mkfs.cache.files import Buffer, OpenFile
from mkfs.cache.page_cache import Outcome
from mkfs.cache.shared import Shared
from mkfs.cache.stored_file import StoredFiles, stored_name
from mkfs.errors import CacheUnusable, IntegrityError
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange

_OUR_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # says nothing about the file
_UNKNOWN, _HASHED, _BARRED = 0, 1, 2  # of a chunk: never seen; right as of this process; not to be taken from the page cache


class Damaged(IntegrityError):
    """What the cache holds of a layer is not what it should be, or cannot be read. Drop the layer and fetch it again."""


@final
class StoredLayer:
    """Reads of one published layer. Stays readable after it was dropped, as far as its files are open. Close it when done.

    `identity` is the status of its directory: which one it is, among others that had or will have its name.
    """

    __slots__ = ("_closed", "_files", "_shared", "_states", "identity", "index")

    def __init__(self, shared: Shared, index: ChunkIndex, directory: OpenFile) -> None:
        self.index = index
        self.identity = os.fstat(directory.fd)
        self._shared = shared
        self._files = StoredFiles(directory, index.grid.file_sizes, shared.abilities)
        self._states = bytearray(index.grid.count)
        self._closed = False

    def trust_received(self, suspects: Iterable[int]) -> None:
        """Says that this process received and proved all chunks but `suspects`. Only for whoever has just published the layer."""
        self._states = bytearray([_HASHED]) * self.index.grid.count
        for number in suspects:
            self._states[number] = _UNKNOWN

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` (within the layer) if they are in memory and known to be right, else None. Never blocks."""
        answer = None if self._closed else self._answer(wanted, wait=False)
        if answer is not None:
            self._shared.counters.add(memory_hits=1, memory_bytes=wanted.length)
        return answer

    def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted` (within the layer). Blocks: call it in a thread.

        Raises `Damaged` where they are not right or not readable any more, `CacheUnusable` where the process is short of something
        or the layer is closed.
        """
        answer = self._answer(wanted, wait=True)
        if answer is None:  # pragma: no cover - a read that may wait answers or raises
            raise AssertionError(wanted)
        self._shared.counters.add(disk_hits=1, disk_bytes=wanted.length)
        return answer

    def close(self) -> None:
        """Lets go of the files. Reads under way in other threads end well, later ones raise `CacheUnusable`. Twice is fine."""
        self._closed = True
        self._files.close()

    def _answer(self, wanted: ByteRange, *, wait: bool) -> Buffer | None:
        """The bytes of `wanted`: part of one hot chunk as it lies there, else assembled with one copy. None only if not `wait`."""
        grid, hot = self.index.grid, self._shared.hot
        numbers = grid.chunks(wanted)
        answer = bytearray(0)
        for number in numbers:
            chunk = grid.chunk_range(number)
            part = chunk.overlap(wanted)
            whole = hot.get(self.index.digest_of(number))
            if whole is None:
                answer = answer or bytearray(wanted.length)
                target = memoryview(answer)[part.start - wanted.start : part.stop - wanted.start]
                if self._fill_resident(target, number, part.start - chunk.start, wait=wait):
                    continue
                if not wait:
                    return None
                whole = hot.get_or_load(self.index.digest_of(number), partial(self._load, number))
            piece = whole[part.start - chunk.start : part.stop - chunk.start]
            if len(numbers) == 1:
                return piece
            answer = answer or bytearray(wanted.length)
            answer[part.start - wanted.start : part.stop - wanted.start] = piece
        return answer

    def _fill_resident(self, target: memoryview, number: int, skip: int, *, wait: bool) -> bool:
        """Fills `target` with chunk `number` from its byte `skip` on, if the page cache may be believed and holds it."""
        if self._states[number] != _HASHED or self._shared.abilities.page_cache is None:
            return False
        file, offset = self.index.grid.place(number)
        try:
            opened = self._files.open(file) if wait else self._files.get(file)
            outcome = Outcome.ABSENT if opened is None else opened.read_resident(target, offset + skip)
        except (OSError, IntegrityError):
            return False  # reading it from the disk will say what is wrong
        if outcome is Outcome.LOST:
            self._states[number] = _BARRED
        return outcome is Outcome.FULL

    def _load(self, number: int) -> memoryview:
        """Chunk `number` from the disk, hashed."""
        file, offset = self.index.grid.place(number)
        wanted = self.index.grid.chunk_range(number)
        where = f"layer {self.index.layer}, file {stored_name(file)}"
        try:
            chunk = self._files.open(file).read(offset, wanted.length)
            self.index.check(number, chunk)
        except (OSError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno in _OUR_SHORTAGE:
                raise CacheUnusable(f"the cache cannot be read: {error.strerror}", where) from error
            self._states[number] = _BARRED
            self._shared.counters.add(damaged=1)
            raise Damaged(f"cache is damaged at bytes {wanted}: {error}", where) from error
        if self._states[number] == _UNKNOWN:
            self._states[number] = _HASHED
        self._shared.counters.add(hashed_chunks=1)
        return chunk
