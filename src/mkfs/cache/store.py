"""The cache of one process: opened once, asked from any thread."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, final

from mkfs.cache import leftovers
from mkfs.cache.abilities import Abilities, probe
from mkfs.cache.behind import Behind
from mkfs.cache.claims import sweep
from mkfs.cache.documents import Documents
from mkfs.cache.evict import Room
from mkfs.cache.eviction import MIN_FREE_RATIO, Disk, Limits, too_small
from mkfs.cache.grants import Grants
from mkfs.cache.growing import GrowingStaging
from mkfs.cache.hot import HotChunks
from mkfs.cache.indexes import find_index, keep_index
from mkfs.cache.layout import Layout
from mkfs.cache.locks import LayerLock, Locks
from mkfs.cache.mending import unpublish
from mkfs.cache.partial import PartialLayer
from mkfs.cache.resolutions import Resolutions
from mkfs.cache.shared import Shared
from mkfs.cache.shelf import drop_layer, find_layer
from mkfs.cache.space import CHOOSE, reading
from mkfs.cache.staging import Staging
from mkfs.cache.statistics import CacheStatistics, Counters
from mkfs.cache.stored import StoredLayer
from mkfs.cache.survey import disk_of, survey
from mkfs.errors import CacheUnusable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid
from mkfs.proof.proven import Proven
from mkfs.units import MIB

if TYPE_CHECKING:  # housekeeping is imported where somebody asks for it
    from mkfs.cache.maintenance import CacheUsage, ClearReport, PruneReport
    from mkfs.cache.scrub import Step, VerifyReport

logger = logging.getLogger(__name__)

# Hashed chunks in private memory: 32 streams with one chunk each. What is read over and over, the kernel keeps for the mount.
HOT_LIMIT_BYTES: Final = 32 * MIB


@final
class Cache:
    """Layers, documents and stagings below one directory. All methods block for the disk's time and may be called in any thread."""

    __slots__ = ("_documents", "_locks", "_shared", "grants", "resolutions")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._documents = Documents(shared)
        self._locks = Locks(shared.layout)
        self.grants = Grants(shared)
        self.resolutions = Resolutions(shared, self._documents)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        min_free_ratio: float = MIN_FREE_RATIO,
        min_free_bytes: int = 0,
        size_limit_bytes: int | None = None,
    ) -> Self:
        """Opens the cache in directory `root`, made where it is missing, and removes what dead processes left in staging, unless it
        may be of use.

        The limits are kept by this process when it adds something: the share and the bytes of the file system that stay free, and
        what the cache itself may occupy (None: no limit). Raises `CacheUnusable` for a directory that is a symbolic link, another
        user's, writable by others, of another version, no cache but not empty, on a mount of ours, or out of reach.
        """
        limits = Limits(min_free_ratio, min_free_bytes, size_limit_bytes)
        layout = Layout.open(root)
        try:
            removed = sweep(layout.staging, partial(leftovers.is_kept, layout))
        except OSError as error:
            logger.warning("cannot clean up the cache: %s", error)
        else:
            if removed:
                logger.info("removed %d leftovers of dead processes from the cache", removed)
        counters = Counters()
        room = Room(layout, limits, counters)
        return cls(Shared(layout, room, probe(layout.staging), HotChunks(HOT_LIMIT_BYTES), Behind(), counters))

    def require_size(self) -> None:
        """Returns if something can be kept at all: for whoever is about to fill it. Raises `CacheUnusable`."""
        path = str(self._shared.layout.path)
        with reading(path):
            complaint = too_small(self._shared.room.limits, disk_of(self._shared.layout.staging))
        if complaint:
            raise CacheUnusable(complaint, path, f"see --cache-size and --min-free, or {CHOOSE}")

    def document(self, blob: Descriptor) -> Proven | None:
        """A small document, hashed now; None if it is not kept or not right any more. Raises nothing."""
        return self._documents.get(blob)

    def keep_document(self, proven: Proven) -> None:
        """Keeps a small document for `document`, as well as it can be done. Raises nothing; what fails is logged."""
        self._documents.keep(proven)

    def layer(self, digest: Digest) -> StoredLayer | None:
        """The published layer `digest`, for the caller to close; None if there is none. Garbage in its place is removed."""
        return find_layer(self._shared, digest)

    def stage(self, blob: Descriptor, grid: Grid, *, anew: bool = False) -> Staging:
        """Room to receive layer `blob.digest`, stored as `grid` cuts it. Raises `CacheUnusable` where there is none.

        Unless `anew`, goes on with what an earlier owner left of it: only for whoever may have these bytes.
        """
        return Staging.begin(self._shared, blob, grid, anew=anew)

    def has_leftover(self, digest: Digest) -> bool:
        """Whether `stage` may find something left of layer `digest`. Raises nothing."""
        return leftovers.exists(self._shared.layout, digest)

    def stage_growing(self, digest: Digest, expected_bytes: int = 0) -> GrowingStaging:
        """Room to receive the content of layer `digest`, which has `expected_bytes` or more. Raises `CacheUnusable` without it."""
        return GrowingStaging.begin(self._shared, digest, expected_bytes)

    def index(self, digest: Digest) -> ChunkIndex | None:
        """The chunk index of layer `digest`, if the layer was ever proven here and it is still kept. Raises nothing."""
        return find_index(self._shared, digest)

    def keep_index(self, index: ChunkIndex) -> None:
        """Keeps `index`, made from bytes that were proven, for `index`, as well as it can be done. Raises nothing."""
        keep_index(self._shared, index)

    def partial(self, index: ChunkIndex) -> PartialLayer:
        """The layer of `index`, stored chunk by chunk; made where there is nothing of it. `index` must be one that is trusted.

        For the caller to close. Raises `CacheUnusable`, for want of room, too.
        """
        return PartialLayer.open(self._shared, index)

    def lock(self, digest: Digest) -> LayerLock:
        """The locks between processes of layer `digest`; the same object for every caller while one holds it. Raises nothing."""
        return self._locks.get(digest)

    def mend(self, damaged: StoredLayer, number: int | None) -> None:
        """Takes that very copy of a layer, whose chunk `number` was found damaged, out of the published ones: the rest of it is
        there chunk by chunk, under its index, or where that cannot be done nothing is. Who has it open reads on. Raises nothing.
        """
        missing = () if number is None else (number,)
        if not unpublish(self._shared, damaged.index, damaged.identity, missing):
            self.drop(damaged.index.layer, damaged)

    def drop(self, digest: Digest, only: StoredLayer | None = None) -> None:
        """Takes layer `digest` away; with `only`, just that very copy of it and no newer one. Who has its files open reads on."""
        drop_layer(self._shared, digest, None if only is None else only.identity)
        self._shared.room.forget()

    def usage(self) -> "CacheUsage":
        """What the cache occupies, and which layers are in it. Raises `CacheUnusable`; so do the following."""
        from mkfs.cache.maintenance import usage

        with reading(str(self._shared.layout.path)):
            return usage(self._shared)

    def occupied_bytes(self) -> int:
        """What the cache occupies on its disk, all of it: a walk, so not for every poll. Raises `CacheUnusable`."""
        with reading(str(self._shared.layout.path)):
            return survey(self._shared.layout).total.size_bytes

    def disk(self) -> Disk:
        """Its file system now: one system call. Raises `CacheUnusable`."""
        with reading(str(self._shared.layout.path)):
            return disk_of(self._shared.layout.staging)

    @property
    def limits(self) -> Limits:
        """What this process keeps the cache within."""
        return self._shared.room.limits

    @property
    def path(self) -> Path:
        """Its directory."""
        return self._shared.layout.path

    def verify(self, progress: Callable[[int], None]) -> "VerifyReport":
        """Hashes everything; what is damaged is dropped. `progress` is told how many bytes each step hashed."""
        from mkfs.cache.scrub import verify

        return verify(self._shared, progress)

    def prune(self, used_before_ns: int | None = None) -> "PruneReport":
        """Removes leftovers, layers not used since then (ns since the epoch), and what is above the limits."""
        from mkfs.cache.maintenance import prune

        with reading(str(self._shared.layout.path)):
            return prune(self._shared, used_before_ns)

    def clear(self) -> "ClearReport":
        """Removes all that no process reads."""
        from mkfs.cache.maintenance import clear

        with reading(str(self._shared.layout.path)):
            return clear(self._shared)

    def scrub(self) -> "Iterator[Step] | None":
        """Everything that is kept, hashed a step each time it is asked; None where another process does this already."""
        from mkfs.cache.scrub import scrub

        return scrub(self._shared)

    @property
    def abilities(self) -> Abilities:
        """What the file system can do, for `doctor`: without direct reads or page cache every answer is hashed."""
        return self._shared.abilities

    def statistics(self) -> CacheStatistics:
        """A snapshot; cheap enough for every poll."""
        return self._shared.counters.snapshot()

    def close(self) -> None:
        """Lets go of the directory, hot chunks and pages. Layers and stagings still open end on their own. May be called twice."""
        self._shared.layout.close()
        self._shared.hot.clear()
        self._shared.behind.close()
