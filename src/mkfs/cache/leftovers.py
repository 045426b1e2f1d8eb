"""Leftovers: what a process had received of a layer when it ended, for the next one who wants that layer.

Theory. A layer is received into a directory of `staging/` whose name ends with the layer's digest, and which holds a ledger of the
chunks that were written (`cache.ledger`; the digests of the chunks are not known yet, so it is that of an index of zeros). When its
owner has ended, however that was, whoever gets its lock (`cache.claims`) may inherit it and receive the rest. Nothing of it is
believed: it is as unproven as when it came, and is hashed again with all the rest of the layer before anybody reads it.

What nobody inherits goes after a day, as soon as the layer is published, and whenever somebody lacks room.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, final

from msgspec import Struct

from mkfs.cache.claims import Claim, stands, unique_name
from mkfs.cache.files import OpenFile, open_directory, remove
from mkfs.cache.layout import Layout
from mkfs.cache.ledger import NAME, Ledger, notes_anything
from mkfs.cache.stored_file import bad_files
from mkfs.errors import BadDigest, IntegrityError
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex
from mkfs.proof.grid import Grid

KEPT_SECONDS: Final = 24 * 3600.0  # who was interrupted in the evening goes on in the morning


@final
class Inheritance(Struct, frozen=True):
    """A directory of staging that is ours now, and the ledger that says which chunks were written."""

    claim: Claim
    ledger: Ledger


def name_for(layer: Digest) -> str:
    """A new name in `staging/` for a directory that receives `layer`."""
    return f"{unique_name()}.{layer.algorithm}.{layer.hex}"


def unproven(layer: Digest, grid: Grid) -> ChunkIndex:
    """The index whose ledger notes what was written of `layer` before the digests of its chunks are known."""
    return ChunkIndex(layer, grid, bytes(grid.count * DIGEST_BYTES), None)


def exists(layout: Layout, layer: Digest) -> bool:
    """Whether anything in `staging/` was or is received of `layer`. Raises nothing."""
    return any(_names(layout, layer))


def inherit(layout: Layout, layer: Digest, grid: Grid) -> Inheritance | None:
    """Something that was received of `layer`, stored as `grid` cuts it, and whose owner has ended; None if there is none.

    Raises nothing.
    """
    for claim in _ownerless(layout, layer):
        with suppress(OSError, IntegrityError):  # damaged, or of another grid
            ledger = Ledger.open(claim.file, unproven(layer, grid))
            if not bad_files(claim.file, grid):
                return Inheritance(claim, ledger)
    return None


def drop(layout: Layout, layer: Digest) -> None:
    """Removes what was left of `layer`, which is published. Raises nothing."""
    for claim in _ownerless(layout, layer):
        remove(claim.name, layout.staging)


def is_useful(layout: Layout, layer: Digest, directory: OpenFile) -> bool:
    """Whether anything was received of `layer` in `directory`, and it is not published. Raises nothing."""
    with suppress(OSError):
        return notes_anything(directory) and not layout.layer(layer).is_taken()
    return False


def is_kept(layout: Layout, name: str, directory: OpenFile) -> bool:
    """Whether `directory`, which is entry `name` of `staging/` and has no owner, may be of use to somebody. Raises nothing."""
    layer = _layer(name)
    with suppress(OSError):
        age_seconds = time.time() - os.stat(NAME, dir_fd=directory.fd, follow_symlinks=False).st_mtime
        return layer is not None and age_seconds < KEPT_SECONDS and is_useful(layout, layer, directory)
    return False


def _ownerless(layout: Layout, layer: Digest) -> Iterator[Claim]:
    """What was left of `layer`, locked."""
    for name in _names(layout, layer):
        with suppress(OSError):  # a living owner's, or gone meanwhile
            file = open_directory(name, layout.staging)
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stands(name, layout.staging, os.fstat(file.fd)):
                yield Claim(name, file)


def _names(layout: Layout, layer: Digest) -> Iterator[str]:
    with suppress(OSError):
        own = open_directory(".", layout.staging)
        yield from (name for name in os.listdir(own.fd) if _layer(name) == layer)


def _layer(name: str) -> Digest | None:
    _, _, digest = name.partition(".")
    with suppress(BadDigest):
        return Digest.parse(digest.replace(".", ":", 1))
    return None
