"""The ledger of a partial layer: one byte per chunk that says whether it was stored. A hint, never a proof.

Encoding: one line of magic, the sha256 of the chunk index whose grid cut the files beside it, then a byte per chunk: 1 is stored,
anything else is not. A byte each, so that processes set them without reading their neighbours. It is written after the chunk;
where a crash keeps one of the two from the disk, the chunk is fetched again or found out by its hash.

The magic says as well whether the files beside it were published once (`cache.mending`).
"""

import hashlib
import os
from collections.abc import Iterable
from typing import Final, Self, final

from mkfs.cache.files import OpenFile, is_our_file, open_to_read, read_whole, write_at
from mkfs.errors import IntegrityError
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.units import MIB

NAME: Final = "ledger"
_MAGIC: Final = b"mkfs ledger 1\n"
_MENDING_MAGIC: Final = b"mkfs mended 1\n"  # as long as the other
_STORED: Final = 1
_LIMIT_BYTES: Final = 16 * MIB  # a byte per MiB of layer
_HEAD_BYTES: Final = len(_MAGIC) + hashlib.sha256().digest_size


@final
class Ledger:
    """Which chunks are stored, as the processes of this cache left it. Any thread may ask and set; each call is one system call.

    `mending`: the files beside it were published once, and are never written.
    """

    __slots__ = ("_count", "_file", "mending")

    def __init__(self, file: OpenFile, count: int, *, mending: bool) -> None:
        self._file, self._count, self.mending = file, count, mending

    @classmethod
    def open(cls, directory: OpenFile, index: ChunkIndex) -> Self:
        """The ledger in `directory`. Raises `OSError`; `IntegrityError` if it is not that of `index`."""
        file = open_to_read(NAME, directory, os.O_RDWR)
        if not is_our_file(os.fstat(file.fd), _HEAD_BYTES + index.grid.count):
            raise IntegrityError("ledger is not ours or has a wrong size")
        head, digest = os.pread(file.fd, _HEAD_BYTES, 0), _digest(index)
        if head not in (_MAGIC + digest, _MENDING_MAGIC + digest):
            raise IntegrityError("ledger is damaged, or of another chunk index")
        return cls(file, index.grid.count, mending=head.startswith(_MENDING_MAGIC))

    def missing(self, chunks: range) -> list[int]:
        """Which of the chunks numbered `chunks` (step 1) are not stored. Raises `OSError`."""
        states = os.pread(self._file.fd, len(chunks), _HEAD_BYTES + chunks.start)
        return [number for at, number in enumerate(chunks) if states[at : at + 1] != bytes([_STORED])]

    def set(self, number: int, *, stored: bool) -> None:
        """Notes that chunk `number` is stored, or is not. Raises `OSError`."""
        if not 0 <= number < self._count:
            raise IndexError(number)
        write_at(self._file, bytes([_STORED if stored else 0]), _HEAD_BYTES + number)


def empty_ledger(index: ChunkIndex) -> bytes:
    """The content of the ledger of a layer nothing of which is stored."""
    return _MAGIC + _digest(index) + bytes(index.grid.count)


def mending_ledger(index: ChunkIndex, missing: Iterable[int]) -> bytes:
    """The content of the ledger of a layer that was published, but for the chunks numbered `missing`."""
    states = bytearray([_STORED]) * index.grid.count
    for number in missing:
        states[number] = 0
    return _MENDING_MAGIC + _digest(index) + states


def notes_anything(directory: OpenFile) -> bool:
    """Whether the ledger in `directory`, of whatever index, notes a chunk as stored. Raises `OSError`."""
    return bytes([_STORED]) in read_whole(NAME, directory, _LIMIT_BYTES)[_HEAD_BYTES:]


def _digest(index: ChunkIndex) -> bytes:
    return hashlib.sha256(index.encode()).digest()
