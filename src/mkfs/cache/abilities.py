"""What the file system of the cache can do, found by trying it on a file of our own when the cache is opened.

Nothing is believed by name: tmpfs takes `O_DIRECT` and reads through the page cache all the same, so do compressed files of btrfs,
and overlayfs has no `RWF_NOWAIT`. Costs two blocks written past the page cache and no fsync.
"""

import mmap
import os
from typing import Final, final

from msgspec import Struct

from mkfs.cache.claims import claim_file
from mkfs.cache.files import OpenFile, discard, open_to_read
from mkfs.cache.page_cache import PageCache, kernel_has_cachestat

# Offsets and lengths of direct reads: the largest logical block of a disk. Memory is page-aligned, which is as much or more.
ALIGNMENT: Final = 4096
DIRECT: Final = os.O_DIRECT if hasattr(os, "O_DIRECT") else 0
_SAMPLE_BYTES: Final = 2 * ALIGNMENT  # two blocks, so that one not at the start can be read


@final
class Abilities(Struct, frozen=True):
    """`direct`: files are read past the page cache. `page_cache`: answers hits; None where every answer has to be hashed."""

    direct: bool
    page_cache: PageCache | None


NOTHING: Final = Abilities(direct=False, page_cache=None)


def probe(staging: OpenFile) -> Abilities:
    """Tries it in `staging`. A file system that fails at it (full, read-only) has no abilities; nothing is raised."""
    try:
        claim = claim_file(staging)
    except OSError:
        return NOTHING
    try:
        plain = open_to_read(claim.name, staging)
        direct = OpenFile(os.open(claim.name, os.O_RDWR | os.O_NOFOLLOW | DIRECT, dir_fd=staging.fd)) if DIRECT else None
        return _try(plain, direct) if direct else NOTHING
    except OSError:
        return NOTHING
    finally:
        discard(claim.name, staging)


def _try(plain: OpenFile, direct: OpenFile) -> Abilities:
    block = mmap.mmap(-1, _SAMPLE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    os.pwritev(direct.fd, [block], 0)
    os.preadv(direct.fd, [memoryview(block)[:ALIGNMENT]], ALIGNMENT)
    page_cache = PageCache(cachestat=kernel_has_cachestat(os.uname().release))
    try:
        if not page_cache.is_empty(plain, _SAMPLE_BYTES):  # direct reads or writes went through the page cache
            return Abilities(direct=True, page_cache=None)
        os.preadv(plain.fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        pass
    except OSError:  # EOPNOTSUPP: no RWF_NOWAIT here. EPERM, ENOSYS: no cachestat
        return Abilities(direct=True, page_cache=None)
    return Abilities(direct=True, page_cache=page_cache)
