"""How full the cache is, for whoever tells of a mount: `status` and metrics.

Weighing looks at every file of the cache, which takes a millisecond or, for a million files, ten seconds. So it is done when
somebody asks, and then for a share of the time, not once in a period: any period would keep a core busy with a large cache, or tell
old news of a small one. One look at a time, whoever asks: a disk that hangs holds one thread, and not one more with each question.
"""

from typing import Final, Self, final

import trio
from msgspec import Struct

from mkfs.cache.store import Cache
from mkfs.content.engine import Engine
from mkfs.errors import CacheUnusable

PART: Final = 20  # of the time, one part is spent weighing: 5 % of a core at most
WAIT_SECONDS: Final = 2.0  # nobody waits for a look that takes longer: a scrape has its own time limit, a person little patience


@final
class Space(Struct, frozen=True):
    """What the cache occupies, what it may occupy as things are on its disk; what of that disk is free, and what it leaves free."""

    size_bytes: int
    limit_bytes: int
    free_bytes: int
    kept_free_bytes: int

    @classmethod
    def of(cls, cache: Cache) -> Self:
        """Looks at every file of the cache. Blocks; raises `CacheUnusable`."""
        size_bytes, disk, limits = cache.occupied_bytes(), cache.disk(), cache.limits
        kept_free_bytes = limits.kept_bytes(disk)
        limit_bytes = size_bytes + max(0, disk.free_bytes - kept_free_bytes)
        if limits.size_limit_bytes is not None:
            limit_bytes = min(limit_bytes, limits.size_limit_bytes)
        return cls(size_bytes, limit_bytes, disk.free_bytes, kept_free_bytes)


@final
class Weigher:
    """Weighs the cache of one mount."""

    __slots__ = ("_began", "_due", "_engine", "_space", "_under_way")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._space: Space | None = None
        self._under_way: trio.Event | None = None  # set at the end of the look
        self._began = self._due = float("-inf")  # this look, and the next one, on trio's clock

    async def space(self) -> Space | None:
        """What was seen last, by a new look where one is due and does not take too long. None: nobody has seen it yet, or the disk
        cannot be read. Cancelling it leaves the look to others.
        """
        if self._under_way is None and trio.current_time() >= self._due:
            self._under_way, self._began = trio.Event(), trio.current_time()
            self._engine.nursery.start_soon(self._look, self._under_way)
        if self._under_way is not None:
            with trio.move_on_at(self._began + WAIT_SECONDS):
                await self._under_way.wait()
        return self._space

    async def _look(self, done: trio.Event) -> None:
        try:
            self._space = await trio.to_thread.run_sync(Space.of, self._engine.cache, abandon_on_cancel=True)
        except CacheUnusable:
            self._space = None
        finally:
            now = trio.current_time()
            self._due = now + (PART - 1) * (now - self._began)
            self._under_way = None
            done.set()
