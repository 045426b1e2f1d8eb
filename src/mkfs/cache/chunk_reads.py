"""Reads of a layer's stored files, chunk by chunk: what may be answered from memory, and what is hashed first.

Theory. The disk may rot and a power failure may have kept writes from it. So what comes from the disk is hashed where it enters: a
chunk is read whole, past the page cache, into private memory, checked against the chunk index, and answered from that buffer. What
the page cache holds comes from proven writes (`cache.page_cache`); it answers for chunks that this process has hashed or received
itself. Where the file system cannot promise that, every answer is hashed.

While chunks are still written one by one, the page cache may hold something else at a chunk's ends: a write that covers a block
only in part makes the kernel read the rest of that block, and nobody hashes it. So such blocks answer nothing from memory.

While a layer is *mended* (`cache.mending`), a chunk is where it was published or in a second file, and its hash says where.

Any thread may read. State per chunk is one byte, set whole; the worst a race can do is hash a chunk twice.
"""

import errno
import os
from array import array
from functools import partial
from typing import Final, final

from mkfs.cache.abilities import ALIGNMENT
from mkfs.cache.files import Buffer, OpenFile
from mkfs.cache.page_cache import Outcome
from mkfs.cache.pins import UseMark
from mkfs.cache.shared import Shared
from mkfs.cache.stored_file import StoredFiles, mended_name, stored_name
from mkfs.errors import CacheUnusable, IntegrityError
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange

_OUR_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # says nothing about the file
_UNKNOWN, _HASHED, _BARRED = 0, 1, 2  # of a chunk: never seen; right as of this process; not to be taken from the page cache


class Damaged(IntegrityError):
    """What the cache holds of a layer is not what it should be, or cannot be read. Fetch it again.

    `number`: the chunk, where it is about one.
    """

    def __init__(self, what: str, where: str = "", hint: str = "", number: int | None = None) -> None:
        super().__init__(what, where, hint)
        self.args = (what, where, hint, number)
        self.number = number


@final
class ChunkReads:
    """The stored files of one layer in `directory`, and what this process knows of its chunks.

    `growing`: whether chunks may still be written, by us or by other processes; `mending`: to files of their own.
    """

    __slots__ = (
        "_answered",
        "_block_bytes",
        "_directory",
        "_files",
        "_growing",
        "_index",
        "_mark",
        "_mended",
        "_moved",
        "_shared",
        "_states",
    )

    def __init__(self, shared: Shared, index: ChunkIndex, directory: OpenFile, *, growing: bool, mending: bool = False) -> None:
        self._shared, self._index, self._growing = shared, index, growing
        sizes, abilities = index.grid.file_sizes, shared.abilities
        self._files = StoredFiles(directory, sizes, abilities, writable=growing and not mending)
        self._mended = StoredFiles(directory, sizes, abilities, writable=True, name=mended_name) if mending else None
        self._moved: set[int] = set()  # chunks that are in the mended files
        self._states = bytearray(index.grid.count)
        self._answered = array("L", bytes(array("L").itemsize * index.grid.count))  # bytes of each chunk, from the page cache
        self._block_bytes = max(ALIGNMENT, os.fstat(directory.fd).st_blksize)
        self._directory: OpenFile | None = directory
        self._mark = UseMark()

    def trust(self, number: int) -> None:
        """Says that the stored bytes of chunk `number` are what this process has just proven and written."""
        self._states[number] = _HASHED

    def distrust(self, number: int) -> None:
        """Says that chunk `number` is not to be taken from the page cache any more, until it is written again."""
        self._states[number] = _BARRED

    def is_trusted(self, number: int) -> bool:
        """Whether this process has hashed or received chunk `number`, and has found nothing wrong since."""
        return self._states[number] == _HASHED

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` if they are in memory and known to be right, else None. Never blocks."""
        answer = None if self._directory is None else self._answer(wanted, wait=False)
        if answer is not None:
            self._mark.hit()
            self._shared.counters.add(memory_hits=1, memory_bytes=wanted.length)
        return answer

    def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted`. Blocks. Raises `Damaged`, `CacheUnusable`."""
        self._note_use()
        answer = self._answer(wanted, wait=True)
        if answer is None:  # pragma: no cover - a read that may wait answers or raises
            raise AssertionError(wanted)
        self._shared.counters.add(disk_hits=1, disk_bytes=wanted.length)
        return answer

    def verify(self, number: int) -> None:
        """Reads chunk `number` from the disk and hashes it, whatever is known of it. Blocks. Raises as `read`."""
        self._load(number)

    def write(self, number: int, data: Buffer) -> None:
        """Stores `data`, which the caller has checked, as chunk `number`. Only while growing. Blocks. Raises `OSError`,
        `IntegrityError` for a file that is not ours, `CacheUnusable` after `close`.
        """
        self._note_use()
        file, offset = self._index.grid.place(number)
        files = self._mended or self._files
        files.make(file)  # in a layer that is mended it may be the first chunk of this file, elsewhere somebody may have hurt it
        files.open(file).write(data, offset)
        if files is self._mended:
            self._moved.add(number)  # before it is trusted: what is trusted may be answered from there unseen
        self.trust(number)
        if self._shared.abilities.page_cache is None or self._inner(offset, len(data)) != (offset, offset + len(data)):
            # Parts of it cannot be answered from the page cache: without this they would be read back from the disk at once.
            self._shared.hot.get_or_load(self._index.digest_of(number), lambda: memoryview(bytes(data)))

    def close(self) -> None:
        """Lets go of the files. Reads under way in other threads end well, later ones raise `CacheUnusable`. Twice is fine."""
        directory, self._directory = self._directory, None
        if directory is not None:
            self._mark.settle(directory)
        self._files.close()
        if self._mended is not None:
            self._mended.close()

    def _note_use(self) -> None:
        directory = self._directory
        if directory is not None:
            self._mark.note(directory)

    def _answer(self, wanted: ByteRange, *, wait: bool) -> Buffer | None:
        """The bytes of `wanted`: part of one hot chunk as it lies there, else assembled with one copy. None only if not `wait`."""
        grid, hot = self._index.grid, self._shared.hot
        numbers = grid.chunks(wanted)
        answer = bytearray(0)
        for number in numbers:
            chunk = grid.chunk_range(number)
            part = chunk.overlap(wanted)
            whole = hot.get(self._index.digest_of(number))
            if whole is None:
                answer = answer or bytearray(wanted.length)
                target = memoryview(answer)[part.slice_from(wanted.start)]
                if self._fill_resident(target, number, part.start - chunk.start, wait=wait):
                    continue
                if not wait:
                    return None
                whole = hot.get_or_load(self._index.digest_of(number), partial(self._load, number))
            piece = whole[part.slice_from(chunk.start)]
            if len(numbers) == 1:
                return piece
            answer = answer or bytearray(wanted.length)
            answer[part.slice_from(wanted.start)] = piece
        return answer

    def _fill_resident(self, target: memoryview, number: int, skip: int, *, wait: bool) -> bool:
        """Fills `target` with chunk `number` from its byte `skip` on, if the page cache may be believed and holds it."""
        if self._states[number] != _HASHED or self._shared.abilities.page_cache is None:
            return False
        file, offset = self._index.grid.place(number)
        if self._growing:
            start, stop = self._inner(offset, self._index.grid.chunk_range(number).length)
            if offset + skip < start or offset + skip + len(target) > stop:
                return False
        try:
            files = self._files_of(number)
            opened = files.open(file) if wait else files.get(file)
            outcome = Outcome.ABSENT if opened is None else opened.read_resident(target, offset + skip)
        except (OSError, IntegrityError):
            return False  # reading it from the disk will say what is wrong
        if outcome is Outcome.LOST:
            self._states[number] = _BARRED
        if outcome is not Outcome.FULL or opened is None:
            return False
        self._answered[number] += len(target)
        length = self._index.grid.chunk_range(number).length
        if self._answered[number] >= length:  # counted, not mapped: who reads a part twice gets it from the disk once
            self._answered[number] = 0
            opened.passed(ByteRange(offset, offset + length), self._shared.behind)
        return True

    def _inner(self, offset: int, length: int) -> tuple[int, int]:
        """From where to where the stored bytes `[offset, offset + length)` fill whole blocks of their file."""
        block = self._block_bytes
        return -(-offset // block) * block, (offset + length) // block * block

    def _files_of(self, number: int) -> StoredFiles:
        """Where chunk `number` is, as far as is known."""
        return self._mended if self._mended is not None and number in self._moved else self._files

    def _load(self, number: int) -> memoryview:
        """Chunk `number` from the disk, hashed."""
        where = f"layer {self._index.layer}, file {stored_name(self._index.grid.place(number)[0])}"
        try:
            chunk = self._read(number)
        except (OSError, IntegrityError) as error:
            if isinstance(error, OSError) and _is_our_shortage(error):
                raise CacheUnusable(f"the cache cannot be read: {error.strerror}", where) from error
            self._states[number] = _BARRED
            self._shared.counters.add(damaged=1)
            wanted = self._index.grid.chunk_range(number)
            raise Damaged(f"cache is damaged at bytes {wanted}: {error}", where, number=number) from error
        if self._states[number] == _UNKNOWN:
            self._states[number] = _HASHED
        self._shared.counters.add(hashed_chunks=1)
        return chunk

    def _read(self, number: int) -> memoryview:
        """Chunk `number` from wherever it is right. Raises `OSError`, `IntegrityError`: what is wrong where it should be."""
        likely = self._files_of(number)
        try:
            return self._read_from(likely, number)
        except (OSError, IntegrityError) as error:
            if self._mended is None or _is_our_shortage(error):
                raise
            other = self._files if likely is self._mended else self._mended
            try:
                chunk = self._read_from(other, number)
            except (OSError, IntegrityError) as second:
                raise (second if _is_our_shortage(second) else error) from None
        (self._moved.add if other is self._mended else self._moved.discard)(number)
        return chunk

    def _read_from(self, files: StoredFiles, number: int) -> memoryview:
        file, offset = self._index.grid.place(number)
        chunk = files.open(file).read(offset, self._index.grid.chunk_range(number).length)
        self._index.check(number, chunk)
        return chunk


def _is_our_shortage(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OUR_SHORTAGE
