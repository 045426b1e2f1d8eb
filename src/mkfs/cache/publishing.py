"""Publishing: a directory of `staging/` that is complete becomes a layer, by one rename.

Two who publish the same layer at once have the same bytes: the second takes what the first has published. Not so where one has the
blob as it is stored and the other what it decompresses to (an archive may be a plain file in another artifact): both have its
name, and the later takes the place of the earlier. Whoever reads the earlier finds it gone, and fetches it anew.
"""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from mkfs.cache import leftovers
from mkfs.cache.claims import Claim, bury
from mkfs.cache.files import create, discard, write_at
from mkfs.cache.indexes import keep_index
from mkfs.cache.partial import remove_partial
from mkfs.cache.pins import pin
from mkfs.cache.shared import Shared
from mkfs.cache.shelf import INDEX, find_layer
from mkfs.cache.stored import StoredLayer
from mkfs.proof.chunk_index import ChunkIndex

_TRIES: Final = 3  # once is the rule; again when what stood in the way was garbage, or the same blob in another form
_TAKEN: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


def publish(shared: Shared, claim: Claim, index: ChunkIndex, suspects: Iterable[int]) -> StoredLayer:
    """The layer of `index`, whose stored files, proven and closed, are in `claim`; or the same layer as somebody else published it.

    `suspects` are chunks that may not be on the disk as they were proven. Raises `OSError`; either way `claim` is gone. Blocks.
    """
    staging = shared.layout.staging
    try:
        write_at(create(INDEX, claim.file), index.encode(), 0)
        return _rename(shared, claim, index, suspects)
    finally:
        discard(claim.name, staging)  # nothing there any more if it went well


def _rename(shared: Shared, claim: Claim, index: ChunkIndex, suspects: Iterable[int]) -> StoredLayer:
    staging, place = shared.layout.staging, shared.layout.layer(index.layer)
    for _ in range(_TRIES):
        try:
            os.rename(claim.name, place.name, src_dir_fd=staging.fd, dst_dir_fd=place.directory.fd)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            with suppress(BlockingIOError):  # somebody is taking it away already
                pin(claim.file)  # the descriptor lives on in the layer: no claim any more, but the reader's pin
            layer = StoredLayer(shared, index, claim.file)
            layer.trust_received(suspects)
            shared.counters.add(published=1, published_bytes=index.grid.size_bytes)
            keep_index(shared, index)
            remove_partial(shared, index)
            leftovers.drop(shared.layout, index.layer)
            return layer
        theirs = find_layer(shared, index.layer)
        if theirs is None:
            continue
        if theirs.index.compression == index.compression:
            return theirs
        theirs.close()
        bury(place.name, place.directory, staging, only=theirs.identity)
    bury(place.name, place.directory, staging)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place.name)
