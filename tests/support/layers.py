"""Layers to read in tests of `content`: a small tar with large and small entries, in memory, and an engine over a fresh cache."""

import io
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from mkfs.cache.locks import OVERTAKE_SECONDS
from mkfs.cache.store import Cache
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.content.means import LayerMeans
from mkfs.content.prefetch import Prefetch
from mkfs.content.reach import Reach
from mkfs.content.readahead import Readahead
from mkfs.content.shortage import Shortage
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB


def seeded(seed: int, size_bytes: int) -> bytes:
    """Incompressible bytes."""
    return SeededBody(seed, size_bytes).read(ByteRange(0, size_bytes))


def tar_of(files: dict[str, bytes]) -> bytes:
    """An uncompressed tar of these files, as Python writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


@dataclass(frozen=True)
class Blob:
    """Content and its descriptor."""

    content: bytes

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor("application/octet-stream", Digest.of(self.content), len(self.content))

    @property
    def whole(self) -> ByteRange:
        return ByteRange(0, len(self.content))

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    def reader(self, *, stall_seconds: float = 30) -> MemoryReader:
        """A registry that has it."""
        return MemoryReader({self.digest: self.content}, stall_seconds=stall_seconds)


LARGE = Blob(seeded(1, 20 * MIB + 777))
TWO_LAPS = Blob(seeded(1, 40 * MIB + 777))  # two requests of a whole fetch: a full lap of runs, and a short one
ARCHIVE = Blob(
    tar_of({"small": b"s" * 100, "large": seeded(2, 9 * MIB + 5), "middle": seeded(3, 3000), "last": seeded(4, 2 * MIB)})
)


@asynccontextmanager
async def engine_at(
    root: Path, *, size_limit_bytes: int | None = None, overtake_seconds: float = OVERTAKE_SECONDS
) -> AsyncGenerator[Engine, None]:
    """An engine over the cache at `root`; what runs in it ends with the block. Two at once are as two processes."""
    cache = Cache.open(root, min_free_ratio=0, size_limit_bytes=size_limit_bytes)  # how full the machine's disk is does not matter
    try:
        async with trio.open_nursery() as nursery:
            yield Engine(nursery, cache, overtake_seconds=overtake_seconds)
            nursery.cancel_scope.cancel()
    finally:
        cache.close()


async def all_given_back(engine: Engine) -> None:
    """Returns when no buffer is lent: a reader has his bytes a moment before their run is over. Fails where one stays."""
    with trio.fail_after(20):
        while engine.buffers.lent:
            await trio.lowlevel.checkpoint()


async def quiet(engine: Engine) -> None:
    """Returns when nothing runs in the engine any more, and no thread works for it: all is fetched and told. Fails where something
    goes on.
    """
    with trio.fail_after(60):
        while engine.nursery.child_tasks:
            await trio.lowlevel.checkpoint()


class Everybody:
    """Access for a test that has one mount only."""

    async def allows(self, blob: Descriptor) -> bool:
        return True

    async def earned(self, blob: Descriptor) -> None:
        pass


def layer_of(engine: Engine, reader: MemoryReader, blob: Blob, *, tar: bool = False) -> Layer:
    """A layer over `reader`."""
    return Layer(engine=engine, reader=reader, access=Everybody(), blob=blob.descriptor, label="model test", tar=tar)


def means_of(engine: Engine, reader: MemoryReader, blob: Blob) -> LayerMeans:
    """What all share who work on such a layer."""
    return LayerMeans(
        engine=engine,
        reader=reader,
        access=Everybody(),
        blob=blob.descriptor,
        label="model test",
        tar=False,
        compression="",
        readahead=Readahead(Prefetch.SEQUENTIAL, engine.budget),
        shortage=Shortage("model test"),
        reach=Reach(),
    )
