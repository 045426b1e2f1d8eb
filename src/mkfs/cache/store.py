"""The cache of one process: opened once, asked from any thread."""

import logging
from pathlib import Path
from typing import Final, Self, final

from mkfs.cache.abilities import Abilities, probe
from mkfs.cache.claims import sweep
from mkfs.cache.documents import Documents
from mkfs.cache.hot import HotChunks
from mkfs.cache.layout import Layout
from mkfs.cache.shared import Shared
from mkfs.cache.shelf import drop_layer, find_layer
from mkfs.cache.space import Reserve
from mkfs.cache.staging import Staging
from mkfs.cache.statistics import CacheStatistics, Counters
from mkfs.cache.stored import StoredLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.grid import Grid
from mkfs.proof.proven import Proven
from mkfs.units import MIB

logger = logging.getLogger(__name__)

# Hashed chunks in private memory: 32 streams with one chunk each. What is read over and over, the kernel keeps for the mount.
HOT_LIMIT_BYTES: Final = 32 * MIB
MIN_FREE_RATIO: Final = 0.10


@final
class Cache:
    """Layers, documents and stagings below one directory. All methods block for the disk's time and may be called in any thread."""

    __slots__ = ("_documents", "_shared")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._documents = Documents(shared)

    @classmethod
    def open(cls, root: Path, *, min_free_ratio: float = MIN_FREE_RATIO) -> Self:
        """Opens the cache in directory `root`, made where it is missing, and removes what dead processes left in staging.

        `min_free_ratio`: what share of the file system stays free. Raises `CacheUnusable` for a directory that is a symbolic link,
        another user's, writable by others, of another version, no cache but not empty, on a mount of ours, or out of reach.
        """
        reserve = Reserve(min_free_ratio)
        layout = Layout.open(root)
        try:
            removed = sweep(layout.staging)
        except OSError as error:
            logger.warning("cannot clean up the cache: %s", error)
        else:
            if removed:
                logger.info("removed %d leftovers of dead processes from the cache", removed)
        return cls(Shared(layout, reserve, probe(layout.staging), HotChunks(HOT_LIMIT_BYTES), Counters()))

    def document(self, blob: Descriptor) -> Proven | None:
        """A small document, hashed now; None if it is not kept or not right any more. Raises nothing."""
        return self._documents.get(blob)

    def keep_document(self, proven: Proven) -> None:
        """Keeps a small document for `document`, as well as it can be done. Raises nothing; what fails is logged."""
        self._documents.keep(proven)

    def layer(self, digest: Digest) -> StoredLayer | None:
        """The published layer `digest`, for the caller to close; None if there is none. Garbage in its place is removed."""
        return find_layer(self._shared, digest)

    def stage(self, blob: Descriptor, grid: Grid) -> Staging:
        """Room to receive layer `blob.digest`, stored as `grid` cuts it. Raises `CacheUnusable` where there is none."""
        return Staging.begin(self._shared, blob, grid)

    def drop(self, digest: Digest, only: StoredLayer | None = None) -> None:
        """Takes layer `digest` away; with `only`, just that very copy of it and no newer one. Who has its files open reads on."""
        drop_layer(self._shared, digest, None if only is None else only.identity)

    @property
    def abilities(self) -> Abilities:
        """What the file system can do, for `doctor`: without direct reads or page cache every answer is hashed."""
        return self._shared.abilities

    def statistics(self) -> CacheStatistics:
        """A snapshot; cheap enough for every poll."""
        return self._shared.counters.snapshot()

    def close(self) -> None:
        """Lets go of the directory and of hot chunks. Layers and stagings still open end on their own. May be called twice."""
        self._shared.layout.close()
        self._shared.hot.clear()
