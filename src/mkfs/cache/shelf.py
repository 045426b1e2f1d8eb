"""Published layers by digest: found, or found to be garbage and taken away."""

import logging
import os
from typing import Final

from mkfs.cache.claims import bury
from mkfs.cache.files import OpenFile, is_not_ours, read_whole
from mkfs.cache.indexes import LIMIT_BYTES, find_index
from mkfs.cache.mending import unpublish
from mkfs.cache.pins import open_pinned
from mkfs.cache.shared import Report, Shared
from mkfs.cache.stored import StoredLayer
from mkfs.cache.stored_file import bad_files, chunks_of
from mkfs.errors import IntegrityError
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex

logger = logging.getLogger(__name__)

INDEX: Final = "index"


def find_layer(shared: Shared, digest: Digest, report: Report | None = None) -> StoredLayer | None:
    """The layer `digest` if it is published; its bytes are hashed as they are read. Blocks, raises nothing.

    What stands in its place and is no such layer is reported, and taken away: made a partial layer if an index says what some of
    its files are, else removed. A failing disk gives None, too.
    """
    try:
        found = _look(shared, digest)
    except OSError as error:
        logger.warning("cannot read layer %s in the cache, going on without it: %s", digest, error)
        return None
    if not isinstance(found, str):
        return found
    shared.counters.add(damaged=1)
    if report is not None:
        report(found)
    logger.info("layer %s in the cache was damaged and is taken away: %s", digest, found)
    return None


def _look(shared: Shared, digest: Digest) -> StoredLayer | str | None:
    """The layer, None where there is none, or what was wrong with what is taken away now. Raises `OSError`."""
    place, staging = shared.layout.layer(digest), shared.layout.staging
    try:
        identity = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    try:
        directory = open_pinned(place.name, place.directory)
        if directory is None:
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:  # somebody takes it away, and may have been stopped in the middle of it: we help
        bury(place.name, place.directory, staging, only=identity)
        return None
    except OSError as error:
        if not is_not_ours(error):
            raise
        bury(place.name, place.directory, staging, only=identity)
        return str(error)
    index, wrong = _read_index(shared, directory, digest)
    bad = {} if index is None else bad_files(directory, index.grid)
    if index is not None and not wrong and not bad:
        return StoredLayer(shared, index, directory)
    if (
        index is None
        or len(bad) == len(index.grid.file_sizes)
        or not unpublish(shared, index, identity, chunks_of(index.grid, bad))
    ):
        bury(place.name, place.directory, staging, only=identity)
    return wrong or next(iter(bad.values()))


def drop_layer(shared: Shared, digest: Digest, only: os.stat_result | None = None) -> bool:
    """Takes layer `digest` away (with `only`: if it is that directory); whether there was one. A failing disk is logged. Blocks."""
    try:
        place = shared.layout.layer(digest)
        return bury(place.name, place.directory, shared.layout.staging, only)
    except OSError as error:
        logger.warning("cannot remove layer %s from the cache: %s", digest, error)
        return False


def _read_index(shared: Shared, directory: OpenFile, digest: Digest) -> tuple[ChunkIndex | None, str]:
    """The chunk index in `directory`, if it is that of `digest`; else the one that is kept beside the layers, if there is one, and
    what is wrong. Raises `OSError`.
    """
    try:
        index = ChunkIndex.decode(read_whole(INDEX, directory, LIMIT_BYTES))
        if index.layer == digest:
            return index, ""
        reason = f"chunk index is of another layer (got {index.layer}, expected {digest})"
    except (IntegrityError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and not is_not_ours(error):
            raise
        reason = str(error)
    return find_index(shared, digest, report=lambda _what: None), reason
