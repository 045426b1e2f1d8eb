"""What is known of a layer: where its reads come from, what they rest on, and what contradicts it.

Of a compressed layer an index may be known and nothing be read under it: no request brings a chunk (`learn`).

Atomic between checkpoints: `stored`, `chunks` and `trust` change together, and the first two never are both set; a contradiction is
for good.
"""

import copy
import logging
from typing import final

from mkfs.archive.entry import Table
from mkfs.cache.stored import StoredLayer
from mkfs.content.chunks import ChunkFetch
from mkfs.content.means import LayerMeans
from mkfs.errors import IntegrityError
from mkfs.proof.artifact_index import agree_on_layer
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import Grid, grid_of
from mkfs.proof.policy import LayerTrust, Trust

log = logging.getLogger(__name__)


@final
class Standing:
    """The state of one layer. `trusted`: a chunk index of it that came with the artifact and that the user's policy accepts."""

    __slots__ = ("_learned", "_means", "chunks", "contradiction", "stored", "table", "trust", "trusted")

    def __init__(self, means: LayerMeans, trusted: LayerTrust | None) -> None:
        self._means, self.trusted = means, trusted
        self.stored: StoredLayer | None = None  # published
        self.chunks: ChunkFetch | None = None  # read by chunks
        self.trust = Trust.LAYER
        self.table: Table | None = None  # as shown, or to be shown
        self.contradiction: IntegrityError | None = None
        self._learned: ChunkIndex | None = None

    @property
    def proven(self) -> bool:
        """Whether a chunk index is trusted, so that no read waits for a proof of the whole."""
        return self.stored is not None or self.chunks is not None

    @property
    def index(self) -> ChunkIndex | None:
        """The chunk index that reads are checked against; None while nothing is known."""
        if self.stored is not None:
            return self.stored.index
        return None if self.chunks is None else self.chunks.index

    @property
    def content_bytes(self) -> int | None:
        """The size of its content; None where it is compressed and no index says how large it is."""
        if not self._means.compression:
            return self._means.blob.size_bytes
        index = self.index or self._learned
        return None if index is None else index.grid.size_bytes

    @property
    def grid(self) -> Grid:
        """How it is cut, or will be by a proof as things are; not of a compressed layer that nothing is known of."""
        if (index := self.index) is not None:
            return index.grid
        size_bytes = self._means.blob.size_bytes
        if not self._means.tar:
            return grid_of(None, size_bytes)
        return grid_of(self.table or (), size_bytes)  # only small layers are proven before their headers are read

    def learn(self, index: ChunkIndex) -> None:
        """Shows what `index`, which is trusted, says of a layer whose bytes are not here."""
        self._learned = index
        if self._means.tar and index.table is not None:
            self._show(index, index.table)

    def adopt(self, source: StoredLayer | ChunkFetch, trust: Trust, table: Table | None) -> None:
        """Reads come from `source` from now on. `table` is what it proves; where another was shown, that is a contradiction."""
        self.stored, self.chunks = (source, None) if isinstance(source, StoredLayer) else (None, source)
        self.trust = trust
        if self._means.tar:
            self._show(source.index, table)
        if self.trusted is not None and trust is Trust.OWN:
            try:
                agree_on_layer(source.index, self.trusted.index)
            except IntegrityError as error:
                hint = f"our own proof says otherwise: do not believe the chunk index that is {self.trusted.words}"
                self.contradict(IntegrityError(error.what, self._where(source.index), hint))

    def _show(self, index: ChunkIndex, table: Table | None) -> None:
        if self.table is None:
            self.table = table
        elif table != self.table:
            what = "names or sizes shown at mount are not what the layer proves"
            hint = "unmount and mount again: the proven names are in the cache now"
            self.contradict(IntegrityError(what, self._where(index), hint))

    def _where(self, index: ChunkIndex) -> str:
        return f"{self._means.label}, layer {index.layer}"

    def forget(self) -> None:
        """Nothing is known any more, but what was shown was shown."""
        self.stored = self.chunks = None
        self.trust = Trust.LAYER

    def contradict(self, error: IntegrityError) -> None:
        """Refuses every read from now on: what was believed turned out wrong, and no fetch can mend it."""
        self.contradiction = error
        log.error("%s: %s", self._means.label, error.what)

    def refuse_if_contradicted(self) -> None:
        """Raises the contradiction, if there is one."""
        if self.contradiction is not None:
            raise copy.copy(self.contradiction)

    def close(self) -> None:
        """Lets go of the cache's files."""
        for source in (self.stored, self.chunks):
            if source is not None:
                source.close()
        self.forget()
