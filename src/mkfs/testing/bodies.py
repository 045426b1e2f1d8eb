"""Blob bodies: bytes that need not sit in memory, so that a test can serve a 1 GiB layer from a 64 MiB process.

Rules of this file: a body never changes its length, and reading the same range twice gives the same bytes (`FileBody`: as long as
nobody writes the file, which is how a test damages a registry's storage).
"""

import os
import random
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, final

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB

# Bytes per read where a body is walked: large enough that Python's share of the work vanishes, small enough for the CPU's cache.
PIECE_BYTES: Final = MIB

_BLOCK_BYTES: Final = MIB
_STAMP_BYTES: Final = 4 * KIB  # every run of this many bytes carries a number of its own, so no two pages of a body are equal
_STAMPS: Final = _BLOCK_BYTES // _STAMP_BYTES
_BLOCK_NUMBER_BYTES: Final = 4  # blocks are numbered up to 2**32: bodies up to 4 PiB


class BlobBody(Protocol):
    """The bytes of one blob."""

    @property
    def size_bytes(self) -> int:
        """How many bytes; never changes."""

    def read(self, wanted: ByteRange, /) -> bytes:
        """Exactly the bytes of `wanted`, which lies within `[0, size_bytes)`. May block on a disk, never on a network."""


@final
class MemoryBody:
    """Bytes in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return len(self._data)

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`; all of them without a copy."""
        return self._data[wanted.start : wanted.stop]


@final
class FileBody:
    """The bytes of a file, opened anew by every read: what is written into it later is served later.

    Raises `OSError` from the constructor when there is no such file. A file cut short afterwards gives short reads.
    """

    __slots__ = ("_size_bytes", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size_bytes = path.stat().st_size

    @property
    def size_bytes(self) -> int:
        """The file's size when this body was made."""
        return self._size_bytes

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted` as they are in the file now."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, wanted.length, wanted.start)
        finally:
            os.close(descriptor)


@final
class SeededBody:
    """Bytes made on the fly from `seed`: the same on every machine and run, unlike for every seed, no two 4 KiB pages alike.

    One random block of 1 MiB, repeated, stamped at the head of every 4 KiB with the page's number: some GB/s, where a fresh random
    stream would give 0.2. Deflate finds nothing to compress in it; a compressor with a window over 1 MiB would.
    """

    __slots__ = ("_block", "_size_bytes")

    def __init__(self, seed: int, size_bytes: int) -> None:
        block = bytearray(random.Random(seed).randbytes(_BLOCK_BYTES))  # noqa: S311 - test data has to repeat
        block[::_STAMP_BYTES] = bytes(page % 256 for page in range(_STAMPS))
        self._block = bytes(block)
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return self._size_bytes

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`."""
        numbers = range(wanted.start // _BLOCK_BYTES, -(-wanted.stop // _BLOCK_BYTES))
        parts = []
        for number in numbers:
            base = number * _BLOCK_BYTES
            part = wanted.overlap(ByteRange(base, base + _BLOCK_BYTES))
            parts.append(self._stamped(number, part.start - base, part.stop - base))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _stamped(self, number: int, start: int, stop: int) -> bytes:
        """Block `number`, from `start` to `stop` of it."""
        first = start - start % _STAMP_BYTES  # from the page's head, so that the stamps are at the same places in every part
        part = bytearray(self._block[first:stop])
        for place, value in enumerate(number.to_bytes(_BLOCK_NUMBER_BYTES, "little"), start=1):
            run = part[place::_STAMP_BYTES]
            part[place::_STAMP_BYTES] = bytes((value,)) * len(run)
        return bytes(memoryview(part)[start - first :])


@final
@dataclass(frozen=True, slots=True)
class FlippedBody:
    """Another body with one bit wrong: the lowest of the byte at `offset`."""

    body: BlobBody
    offset: int

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return self.body.size_bytes

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`, wrong where they cover the offset."""
        data = self.body.read(wanted)
        if not wanted.start <= self.offset < wanted.stop:
            return data
        damaged = bytearray(data)
        damaged[self.offset - wanted.start] ^= 1
        return bytes(damaged)


@final
@dataclass(frozen=True, slots=True)
class PaddedBody:
    """Another body with `extra_bytes` zeros behind it."""

    body: BlobBody
    extra_bytes: int

    @property
    def size_bytes(self) -> int:
        """How many bytes, with the zeros."""
        return self.body.size_bytes + self.extra_bytes

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`."""
        return self.body.read(wanted.overlap(ByteRange(0, self.body.size_bytes))).ljust(wanted.length, b"\0")


def as_body(content: "BlobBody | bytes") -> BlobBody:
    """`content` as a body, whichever it is."""
    return MemoryBody(content) if isinstance(content, bytes) else content


def digest_of(body: BlobBody) -> Digest:
    """The sha256 digest of all of `body`, read in pieces."""
    hashed = sha256()
    for piece in ByteRange(0, body.size_bytes).pieces(PIECE_BYTES):
        hashed.update(body.read(piece))
    return Digest("sha256", hashed.hexdigest())
