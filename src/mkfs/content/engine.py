"""What all layers of one mount share: the nursery their work runs in, buffers, memory, threads, the cache.

Threads: hashing and disk only. Both are limited apart, so that a slow disk does not keep bytes from being hashed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar, final

import trio

from mkfs.cache.hot import HotChunks
from mkfs.cache.locks import OVERTAKE_SECONDS
from mkfs.cache.store import Cache
from mkfs.content.admission import Admission
from mkfs.content.budget import Budget
from mkfs.content.buffers import Buffers
from mkfs.content.last_errors import LastErrors
from mkfs.content.tally import Tally
from mkfs.units import MIB

P = ParamSpec("P")
T = TypeVar("T")

# Reads that miss the page cache wait for the disk, not for a core: enough of them to keep one NVMe queue busy.
DISK_THREADS: Final = 16
# Hashing wants cores: one thread more than there are, so that one may wait for its write while the others hash.
HASH_THREADS: Final = (os.cpu_count() or 1) + 1
# Compressed layers that are streamed at once: each may need a window of 128 MiB, and two keep two cores busy.
INFLATING_LAYERS: Final = 4
# Chunks that the cache has no room for: one for each of 32 readers. A reader that goes on in its chunk finds it here.
MEMORY_BYTES: Final = 32 * MIB


@final
@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """The shared means. Lives as long as its nursery; cancelling that ends all work under way. `memory` keeps chunks that the cache
    cannot; `budget` is for what is ahead of readers. `overtake_seconds` is `cache.locks.OVERTAKE_SECONDS`, but for tests with
    stopped processes, which need not wait so long.
    """

    nursery: trio.Nursery
    cache: Cache
    buffers: Buffers = field(default_factory=Buffers)
    memory: HotChunks = field(default_factory=lambda: HotChunks(MEMORY_BYTES))
    admission: Admission = field(default_factory=Admission)
    budget: Budget = field(default_factory=Budget)
    tally: Tally = field(default_factory=Tally)
    errors: LastErrors = field(default_factory=LastErrors)
    overtake_seconds: float = OVERTAKE_SECONDS
    inflating: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(INFLATING_LAYERS))
    _disk: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(DISK_THREADS))
    _hash: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(HASH_THREADS))

    async def on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking disk work in a thread. Once begun it is finished, even if the caller is cancelled."""
        return await trio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._disk)

    async def hashing(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs hashing (and writing what was hashed) in a thread. Once begun it is finished, even if the caller is cancelled."""
        return await trio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._hash)
