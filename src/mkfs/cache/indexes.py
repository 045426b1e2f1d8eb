"""Own chunk indexes by layer: what was proven once is known for good, even when the layer's bytes had to go.

An index is believed because we wrote it, and it carries its own sha256. Where two could be kept (another kit may have shown the
same layer as one raw file), the one with a table is worth more, and the one with the digest of the content than one without; of
two that take the blob in different ways (as it is stored, decompressed) the later one counts. Keeping one is a favour, no duty.
"""

import logging
from typing import Final

from mkfs.cache.files import is_not_ours, read_whole, remove
from mkfs.cache.layout import put
from mkfs.cache.pins import mark_file
from mkfs.cache.shared import Report, Shared
from mkfs.errors import CacheUnusable, IntegrityError
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.units import MIB

logger = logging.getLogger(__name__)

# 32 bytes per MiB of layer and some hundred per entry: what is larger than this is no index of ours.
LIMIT_BYTES: Final = 512 * MIB


def find_index(shared: Shared, digest: Digest, report: Report | None = None) -> ChunkIndex | None:
    """The chunk index of layer `digest`, if one is kept. What is not right is removed. Blocks, raises nothing.

    With a `report` this is an inspection, and no use of the index.
    """
    try:
        place = shared.layout.index(digest)
        try:
            index = ChunkIndex.decode(read_whole(place.name, place.directory, LIMIT_BYTES))
            if index.layer == digest:
                if report is None:
                    mark_file(place.name, place.directory)
                return index
            reason: Exception = IntegrityError(f"is of another layer (got {index.layer})")
        except FileNotFoundError:
            return None
        except (IntegrityError, OSError) as error:
            if isinstance(error, OSError) and not is_not_ours(error):
                raise
            reason = error
        remove(place.name, place.directory)
    except OSError as error:
        logger.warning("cannot read the chunk index of layer %s in the cache, going on without it: %s", digest, error)
        return None
    shared.counters.add(damaged=1)
    if report is not None:
        report(str(reason))
    logger.info("the chunk index of layer %s in the cache was damaged and is removed: %s", digest, reason)
    return None


def keep_index(shared: Shared, index: ChunkIndex) -> None:
    """Keeps `index`, made from bytes that were proven, unless one as good is there. Blocks; what fails is logged."""
    kept = find_index(shared, index.layer)
    if kept is not None and kept.compression == index.compression and _worth(kept) >= _worth(index):
        return
    layout, content = shared.layout, index.encode()
    try:
        shared.room.require(len(content), 1, f"chunk index of layer {index.layer} in {layout.path}")
        put(content, layout.index(index.layer), layout.staging)
    except CacheUnusable as error:
        logger.info("the chunk index of layer %s is not kept: %s", index.layer, error)
    except OSError as error:
        logger.warning("cannot keep the chunk index of layer %s in the cache: %s", index.layer, error)


def _worth(index: ChunkIndex) -> tuple[bool, bool]:
    return index.table is not None, index.diff_id is not None
