"""Making room: whoever needs some takes away what was used longest ago and is read by nobody. There is no central process.

Theory. Room is asked for before bytes are written. What the file system has free is one system call, asked every time. What the
cache itself occupies takes a walk over it (`cache.survey`), so a process that has walked may take small steps without walking
again, up to an *allowance*: a share of what was left, so that all processes together stay within the limit. A whole layer is made
room for under a lock (flock on the root, held until its blocks are reserved), so that two do not take the same room; who cannot
have that lock for a second goes on without it, as a stopped process may hold it.

To evict is to lock what nobody reads (`cache.pins`), rename it into `staging/`, and remove it there: readers find all of it or
nothing, and who has a file of it open reads on. If all that may go would not be enough, nothing goes: a cache is not emptied for
what does not fit anyway. Only what dead processes left in `staging/` goes in any case, and first.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, final

from msgspec import Struct

from mkfs.cache.claims import bury, sweep
from mkfs.cache.eviction import Item, Kind, Lack, Limits, Wish, complaint, in_order
from mkfs.cache.files import OpenFile, open_directory, remove
from mkfs.cache.layout import Layout, Place
from mkfs.cache.pins import grip
from mkfs.cache.space import MAKE_ROOM
from mkfs.cache.statistics import Counters
from mkfs.cache.survey import disk_of, survey
from mkfs.errors import CacheUnusable
from mkfs.proof.grid import CHUNK_BYTES
from mkfs.units import MIB, format_size

logger = logging.getLogger(__name__)

_ALLOWANCE_BYTES: Final = 64 * MIB  # some dozen chunks between two walks
_ALLOWANCE_SHARE: Final = 8  # of what is left, one part: as many processes may take theirs at once
_ALLOWANCE_SECONDS: Final = 5.0  # others write meanwhile
_LOCK_TRIES: Final = 100
_LOCK_PAUSE_SECONDS: Final = 0.01
# A cache that is full of what is in use stays so for a while: no walk per chunk in vain.
_REFUSAL_SECONDS: Final = 1.0


@final
class _Known(Struct):
    """What the last walk left to say. Changed under `Room._lock`."""

    allowance_bytes: int = 0
    allowance_until: float = 0.0  # of the monotonic clock, as the other
    refused: Wish | None = None
    refused_until: float = 0.0
    complaint: str = ""


@final
class Room:
    """The bounds of one cache as this process keeps them. Any thread may ask; all calls block for the disk's time."""

    __slots__ = ("_counters", "_known", "_layout", "_lock", "limits")

    def __init__(self, layout: Layout, limits: Limits, counters: Counters) -> None:
        self.limits = limits
        self._layout, self._counters = layout, counters
        self._lock = threading.Lock()
        self._known = _Known()

    def require(self, size_bytes: int, inodes: int, where: str) -> None:
        """Returns if `size_bytes` in `inodes` new files and directories may be written now, having evicted what had to go.

        Raises `CacheUnusable`, or `OSError`; then nothing went.
        """
        wish = Wish(size_bytes, inodes)
        if not self._allowed(wish):
            with self._turn():
                self._walk(wish, where)

    @contextmanager
    def reserving(self, size_bytes: int, inodes: int, where: str) -> Iterator[None]:
        """As `require`, for a block that reserves these bytes: other processes that reserve wait for its end."""
        with self._turn():
            self._walk(Wish(size_bytes, inodes), where)
            yield

    def shrink(self) -> list[Item]:
        """Evicts until the limits are kept, as far as that goes; what went. Raises `OSError`."""
        with self._turn():
            seen = survey(self._layout)
            lacking = Lack.of(self.limits, disk_of(self._layout.staging), seen.total.size_bytes, Wish(0, 0))
            return self._evict(seen.items, lacking, whole=False)

    def forget(self) -> None:
        """Says that something was taken away: what was refused may be possible now."""
        with self._lock:
            self._known = _Known()

    def _allowed(self, wish: Wish) -> bool:
        """Whether there is room without a walk."""
        lacking = Lack.of(Limits(self.limits.min_free_ratio, self.limits.min_free_bytes), disk_of(self._layout.staging), 0, wish)
        if not lacking.met:
            return False
        if self.limits.size_limit_bytes is None:
            return True
        with self._lock:
            known = self._known
            if time.monotonic() >= known.allowance_until or wish.size_bytes > known.allowance_bytes:
                return False
            known.allowance_bytes -= wish.size_bytes
            return True

    def _walk(self, wish: Wish, where: str) -> None:
        """Looks at everything, evicts if it must, and gives a new allowance."""
        now = time.monotonic()
        with self._lock:
            known = self._known
        if known.refused is not None and now < known.refused_until and _at_least(wish, known.refused):
            raise CacheUnusable(known.complaint, where, MAKE_ROOM)
        limits, disk = self.limits, disk_of(self._layout.staging)
        used_bytes = 0
        if limits.size_limit_bytes is not None or not Lack.of(limits, disk, 0, wish).met:
            seen = survey(self._layout)
            lacking = Lack.of(limits, disk, seen.total.size_bytes, wish)
            if not lacking.met and sweep(self._layout.staging):  # what nobody may ever want goes before what was wanted
                seen, disk = survey(self._layout), disk_of(self._layout.staging)
                lacking = Lack.of(limits, disk, seen.total.size_bytes, wish)
            used_bytes = seen.total.size_bytes
            if not lacking.met:
                gone = self._evict(seen.items, lacking, whole=True)
                if not gone:
                    words = complaint(limits, disk, used_bytes, wish)
                    if wish.size_bytes <= CHUNK_BYTES:
                        with self._lock:
                            self._known = _Known(refused=wish, refused_until=now + _REFUSAL_SECONDS, complaint=words)
                    raise CacheUnusable(words, where, MAKE_ROOM)
                used_bytes -= sum(item.size_bytes for item in gone)
        if limits.size_limit_bytes is not None:
            left = limits.size_limit_bytes - used_bytes - wish.size_bytes
            with self._lock:
                self._known = _Known(min(_ALLOWANCE_BYTES, left // _ALLOWANCE_SHARE), now + _ALLOWANCE_SECONDS)

    def _evict(self, items: tuple[Item, ...], lacking: Lack, *, whole: bool) -> list[Item]:
        """Takes items away until nothing is lacking; with `whole`: all that is needed, or nothing. What went."""
        held: list[tuple[Item, Grip]] = []
        for item in in_order(items):
            if lacking.met:
                break
            gripped = Grip.on(self._layout, item)
            if gripped is not None:
                held.append((item, gripped))
                lacking = lacking.without(item)
        if whole and not lacking.met:
            return []
        gone = [item for item, gripped in held if gripped.take_away(self._layout)]
        for item in gone:
            logger.info("evicted %s/%s to make room: %s", item.kind.value, item.digest, format_size(item.size_bytes))
            self._counters.add(evicted=1, evicted_bytes=item.size_bytes)
        return gone

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone among the processes that walk and reserve, if that can be had within a second."""
        own = open_directory(".", self._layout.root)  # a lock belongs to an open file, so each turn opens its own
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(own.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)
            except OSError:  # a file system without locks
                break
            else:
                break
        yield


def _at_least(wish: Wish, other: Wish) -> bool:
    return wish.size_bytes >= other.size_bytes and wish.inodes >= other.inodes


@final
class Grip(Struct, frozen=True):
    """Something that nobody reads, and that nobody will begin to read while this is held."""

    place: Place
    directory: OpenFile | None  # None: a file, which is read in one go and can go at any time

    @classmethod
    def on(cls, layout: Layout, item: Item) -> "Grip | None":
        """None if somebody reads it, or it is gone."""
        try:
            if item.kind is Kind.DOCUMENT:
                return cls(layout.document(item.digest), None)
            if item.kind is Kind.INDEX:
                return cls(layout.index(item.digest), None)
            place = layout.layer(item.digest) if item.kind is Kind.LAYER else layout.partial(item.digest)
            directory = open_directory(place.name, place.directory)
        except OSError:
            return None
        return cls(place, directory) if grip(directory) else None

    def take_away(self, layout: Layout) -> bool:
        """Removes it; whether it was there and could be. Raises nothing."""
        with suppress(OSError):
            if self.directory is not None:
                return bury(self.place.name, self.place.directory, layout.staging, only=os.fstat(self.directory.fd))
            remove(self.place.name, self.place.directory)
            return True
        return False
