"""Layers for the tests of the cache: real bytes, the grid and the chunk index that fit them, and ways to hurt what is stored."""

import gc
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.cache.files import Buffer
from mkfs.cache.store import Cache
from mkfs.cache.stored import StoredLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid, grid_of
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB

BLOCK = 512


@dataclass(frozen=True)
class Material:
    """A layer as the registry has it."""

    content: bytes = field(repr=False)
    table: Table | None

    @cached_property
    def blob(self) -> Descriptor:
        return Descriptor("application/octet-stream", Digest.of(self.content), len(self.content))

    @property
    def digest(self) -> Digest:
        return self.blob.digest

    @property
    def whole(self) -> ByteRange:
        return ByteRange(0, len(self.content))

    @cached_property
    def grid(self) -> Grid:
        return grid_of(self.table, len(self.content))

    @cached_property
    def index(self) -> ChunkIndex:
        grid = self.grid
        chunks = (grid.chunk_range(number) for number in range(grid.count))
        digests = b"".join(hashlib.sha256(self.part(chunk)).digest() for chunk in chunks)
        return ChunkIndex(self.digest, grid, digests, self.table)

    def chunk(self, number: int) -> bytes:
        return self.part(self.grid.chunk_range(number))

    def part(self, wanted: ByteRange) -> bytes:
        return self.content[wanted.start : wanted.stop]

    def is_right(self, wanted: ByteRange, answer: Buffer) -> bool:
        """Whether `answer` is the bytes `wanted`. Not compared in the tests: pytest would work out the difference of megabytes."""
        return answer == self.part(wanted)

    def publish(self, cache: Cache) -> StoredLayer:
        """Receives the layer in pieces that fit no chunk and no page, the last one first."""
        staging = cache.stage(self.blob, self.grid)
        try:
            for piece in reversed(list(self.whole.pieces(700 * KIB + 3))):
                staging.write(piece.start, self.part(piece))
            return staging.publish(self.index)
        finally:
            staging.discard()

    def directory(self, root: Path, kind: str = "layers") -> Path:
        """Where it is published below `root`, or its chunks are stored (`partial`), or its chunk index is kept (`indexes`)."""
        return root / kind / self.digest.algorithm / self.digest.hex


def raw(size_bytes: int, seed: int = 1) -> Material:
    """A layer of one file."""
    return Material(random.Random(seed).randbytes(size_bytes), None)


def archive(*sizes: int, seed: int = 1) -> Material:
    """A layer that a tar with members of these sizes would be; what would be its headers is noise as well."""
    entries, at = [], 0
    for number, size_bytes in enumerate(sizes):
        entries.append(Entry(f"f{number}".encode(), EntryKind.FILE, 0o644, size_bytes, at + BLOCK))
        at += BLOCK + -(-size_bytes // BLOCK) * BLOCK
    return Material(random.Random(seed).randbytes(at + 2 * BLOCK), tuple(entries))


# Two large members with runs of small things before, between and behind them: stored files rest, 1 and 2, chunks that do not start
# at a page in rest, and a last chunk that is shorter everywhere.
MIXED = archive(5000, 2 * MIB + 777, 300, 70_000, MIB + 1, 500_000, 10)


def samples(material: Material) -> Iterator[ByteRange]:
    """Reads as a kernel would ask them, and some it would not: all of it in 128 KiB, then odd ones over every border."""
    yield from material.whole.pieces(128 * KIB)
    for segment in material.grid.segments:
        for start, stop in ((-1, 1), (0, 1), (-4097, 3), (1, 5000), (-1, MIB + 1)):
            wanted = ByteRange(max(0, segment.range.start + start), max(0, segment.range.start + stop))
            yield ByteRange(min(wanted.start, material.whole.stop), min(wanted.stop, material.whole.stop))
    yield material.whole


def drop_pages(directory: Path) -> None:
    """Writes the directory's files to the disk and takes them out of the page cache, as memory pressure would."""
    for path in directory.iterdir():
        lose_pages(path)


def lose_pages(path: Path) -> None:
    """The same for one file, if it is one."""
    if path.is_file():
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def flip(path: Path, offset: int) -> None:
    """Turns one bit of the file around."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


def open_descriptors() -> int:
    """How many this process has open, but for garbage: what an earlier test left in a cycle is closed at any moment."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def names(directory: Path) -> list[str]:
    """What the directory holds, sorted."""
    return sorted(os.listdir(directory))
