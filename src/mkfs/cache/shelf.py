"""Published layers by digest: found, or found to be garbage and taken away."""

import logging
import os
from typing import Final

from mkfs.cache.claims import bury, stands
from mkfs.cache.files import OpenFile, is_not_ours, open_directory, read_whole
from mkfs.cache.indexes import LIMIT_BYTES
from mkfs.cache.pins import pin
from mkfs.cache.shared import Report, Shared
from mkfs.cache.stored import StoredLayer
from mkfs.cache.stored_file import check_stored_files
from mkfs.errors import IntegrityError
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex

logger = logging.getLogger(__name__)

INDEX: Final = "index"


def find_layer(shared: Shared, digest: Digest, report: Report | None = None) -> StoredLayer | None:
    """The layer `digest` if it is published; its bytes are hashed as they are read. Blocks, raises nothing.

    What stands in its place and is no such layer (another index, files of wrong sizes) is removed, and reported. A failing disk
    gives None, too.
    """
    try:
        place = shared.layout.layer(digest)
        try:
            identity = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        try:
            directory = open_directory(place.name, place.directory)
            pin(directory)
            if not stands(place.name, place.directory, os.fstat(directory.fd)):  # it went before there was a pin
                return None
            return StoredLayer(shared, _read_index(directory, digest), directory)
        except BlockingIOError:  # somebody takes it away, and may have been stopped in the middle of it: we help
            bury(place.name, place.directory, shared.layout.staging, only=identity)
            return None
        except (IntegrityError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and not is_not_ours(error):
                raise
            reason = error
        bury(place.name, place.directory, shared.layout.staging, only=identity)
    except OSError as error:
        logger.warning("cannot read layer %s in the cache, going on without it: %s", digest, error)
        return None
    shared.counters.add(damaged=1)
    if report is not None:
        report(str(reason))
    logger.info("layer %s in the cache was damaged and is removed: %s", digest, reason)
    return None


def drop_layer(shared: Shared, digest: Digest, only: os.stat_result | None = None) -> bool:
    """Takes layer `digest` away (with `only`: if it is that directory); whether there was one. A failing disk is logged. Blocks."""
    try:
        place = shared.layout.layer(digest)
        return bury(place.name, place.directory, shared.layout.staging, only)
    except OSError as error:
        logger.warning("cannot remove layer %s from the cache: %s", digest, error)
        return False


def _read_index(directory: OpenFile, digest: Digest) -> ChunkIndex:
    """The chunk index in `directory`, if it is that of `digest` and all its files stand there with their sizes.

    Raises `IntegrityError`, or `OSError` (`FileNotFoundError`: a file is missing).
    """
    index = ChunkIndex.decode(read_whole(INDEX, directory, LIMIT_BYTES))
    if index.layer != digest:
        raise IntegrityError(f"chunk index is of another layer (got {index.layer}, expected {digest})")
    check_stored_files(directory, index.grid)
    return index
