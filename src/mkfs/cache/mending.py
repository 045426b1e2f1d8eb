"""Mending: a published layer that is damaged gives up what is wrong, and nothing else.

Theory. One bad block of a layer of ten gigabytes should cost one chunk, and its neighbours' readers nothing. So the directory that
was published is made a partial layer: it gets a ledger that names every chunk but the bad ones, and one rename takes it from
`layers/` to `partial/`. A kill before the rename leaves a published layer with a file more, which nobody reads.

The files that were published are still never written, as another process may answer from their pages what it hashed once, and a
write that covers a block in part would bring in the rest of it unhashed. What is fetched again goes to files beside them,
`1.mended` beside `1`, with holes for all the rest. Where a chunk is, its hash says: it is looked for in both.

Who has the published layer open reads on through the same directory, and by its lock on it keeps it from being evicted.
"""

import logging
import os
from collections.abc import Iterable

from mkfs.cache.claims import stands
from mkfs.cache.files import open_directory
from mkfs.cache.indexes import find_index
from mkfs.cache.layout import Place, put
from mkfs.cache.ledger import NAME, mending_ledger
from mkfs.cache.partial import remove_partial
from mkfs.cache.shared import Shared
from mkfs.proof.chunk_index import ChunkIndex

logger = logging.getLogger(__name__)


def unpublish(shared: Shared, index: ChunkIndex, identity: os.stat_result, missing: Iterable[int]) -> bool:
    """Makes the published layer of `index`, if it is still the directory with that `identity`, a partial one that lacks the chunks
    numbered `missing`; whether this was done. Blocks, raises nothing.
    """
    layout, digest = shared.layout, index.layer
    try:
        place, target = layout.layer(digest), layout.partial(digest)
        if not stands(place.name, place.directory, identity):
            return False
        _keep_this_index(shared, index)
        remove_partial(shared, index)  # of another index perhaps; one that is read stays, and then the rename fails
        put(mending_ledger(index, missing), Place(open_directory(place.name, place.directory), NAME), layout.staging)
        os.rename(place.name, target.name, src_dir_fd=place.directory.fd, dst_dir_fd=target.directory.fd)
    except OSError as error:
        logger.info("layer %s cannot be mended: %s", digest, error)
        return False
    logger.info("layer %s is damaged: what is wrong of it is fetched again", digest)
    return True


def _keep_this_index(shared: Shared, index: ChunkIndex) -> None:
    """Chunks are read under the index that is kept, and the ledger belongs to one. Raises `OSError`."""
    kept, content = find_index(shared, index.layer, report=lambda _what: None), index.encode()
    if kept is None or kept.encode() != content:
        put(content, shared.layout.index(index.layer), shared.layout.staging)
