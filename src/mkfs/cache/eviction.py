"""What goes first when room is needed, and how much is lacking. Pure: sizes and times in, a choice out.

The order: bytes of layers, then documents, then chunk indexes, as a document is worth an offline mount and an index a whole fetch,
and both are small; among equals the one that was used longest ago. Whether something may go at all (nobody reads it) is known only
when it is tried, so the choice is an order, and what is still lacking is counted down.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self, final

from msgspec import Struct

from mkfs.oci.digest import Digest
from mkfs.units import MIB, format_size

MIN_FREE_RATIO: Final = 0.10
_BLOCK_BYTES: Final = 4096  # of nearly every file system
# With less than that no layer leaves anything here: one chunk of 1 MiB, and the directories and files around it.
LEAST_BYTES: Final = 2 * MIB
LEAST_INODES: Final = 32


@final
class Kind(Enum):
    """What can be evicted. The values are the names of their directories."""

    LAYER = "layers"
    PARTIAL = "partial"
    DOCUMENT = "documents"
    INDEX = "indexes"


_RANK: Final = {Kind.LAYER: 0, Kind.PARTIAL: 0, Kind.DOCUMENT: 1, Kind.INDEX: 2}


@final
@dataclass(frozen=True, slots=True)
class Item:
    """Something that may be evicted: what it occupies on the disk, and when it was used last (ns since the epoch)."""

    kind: Kind
    digest: Digest
    size_bytes: int
    inodes: int
    used_ns: int


@final
@dataclass(frozen=True, slots=True)
class Disk:
    """A file system's bytes and inodes, all of them and those free to us. A total of 0: it does not count them."""

    total_bytes: int
    free_bytes: int
    total_inodes: int
    free_inodes: int


@final
class Limits(Struct, frozen=True):
    """What the cache may take: so much of the file system stays free (0 <= `min_free_ratio` < 1 of its bytes and inodes, and at
    least `min_free_bytes`), and the cache itself stays within `size_limit_bytes` (None: no limit). Raises `ValueError`.

    Who says how many bytes stay free says nothing of inodes: then the usual share of those does.
    """

    min_free_ratio: float = MIN_FREE_RATIO
    min_free_bytes: int = 0
    size_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_free_ratio < 1:
            raise ValueError(f"not a share: {self.min_free_ratio}")
        if self.min_free_bytes < 0 or (self.size_limit_bytes is not None and self.size_limit_bytes < 0):
            raise ValueError(f"not a size: {min(self.min_free_bytes, self.size_limit_bytes or 0)}")

    def kept_bytes(self, disk: Disk) -> int:
        """How many bytes of `disk` stay free."""
        return max(int(disk.total_bytes * self.min_free_ratio), self.min_free_bytes) if disk.total_bytes else 0

    def kept_inodes(self, disk: Disk) -> int:
        """How many inodes of `disk` stay free."""
        return int(disk.total_inodes * (max(self.min_free_ratio, MIN_FREE_RATIO) if self.min_free_bytes else self.min_free_ratio))


@final
class Wish(Struct, frozen=True):
    """Room somebody asks for: new bytes, in so many new files and directories."""

    size_bytes: int
    inodes: int

    @property
    def rounded_bytes(self) -> int:
        """What it comes to on the disk at most, where each file ends with a block that is not full."""
        return self.size_bytes + self.inodes * _BLOCK_BYTES


@final
class Lack(Struct, frozen=True):
    """What has to go before a wish can be granted; not above 0: nothing."""

    size_bytes: int
    inodes: int

    @classmethod
    def of(cls, limits: Limits, disk: Disk, used_bytes: int, wish: Wish) -> Self:
        """`used_bytes`: what the cache occupies now."""
        size_bytes = inodes = 0
        if disk.total_bytes:
            size_bytes = limits.kept_bytes(disk) + wish.size_bytes - disk.free_bytes
        if disk.total_inodes:
            inodes = limits.kept_inodes(disk) + wish.inodes - disk.free_inodes
        if limits.size_limit_bytes is not None:
            size_bytes = max(size_bytes, used_bytes + wish.rounded_bytes - limits.size_limit_bytes)
        return cls(size_bytes, inodes)

    @property
    def met(self) -> bool:
        """Whether there is room."""
        return self.size_bytes <= 0 and self.inodes <= 0

    def without(self, item: Item) -> "Lack":
        """What is lacking once `item` is gone."""
        return Lack(self.size_bytes - item.size_bytes, self.inodes - item.inodes)


def in_order(items: Iterable[Item]) -> list[Item]:
    """The first to go first."""
    return sorted(items, key=lambda item: (_RANK[item.kind], item.used_ns, item.digest))


def complaint(limits: Limits, disk: Disk, used_bytes: int, wish: Wish) -> str:
    """Why `wish` cannot be granted, in one line for a person."""
    limit = limits.size_limit_bytes
    if disk.total_bytes and disk.free_bytes - wish.size_bytes < limits.kept_bytes(disk):
        return (
            f"no room in the cache: {format_size(wish.size_bytes)} needed, {format_size(disk.free_bytes)} free,"
            f" of which {format_size(limits.kept_bytes(disk))} stay free"
        )
    if limit is not None and used_bytes + wish.rounded_bytes > limit:
        return (
            f"no room in the cache: {format_size(wish.size_bytes)} needed, {format_size(used_bytes)} of"
            f" {format_size(limit)} used, and what is in use cannot go"
        )
    return (
        f"no room in the cache: {wish.inodes} inodes needed, {disk.free_inodes} free, of which {limits.kept_inodes(disk)} stay free"
    )


def too_small(limits: Limits, disk: Disk) -> str:
    """Why nothing can ever be kept under these limits, in one line for a person; "" if something can."""
    least = f"expected room for at least {format_size(LEAST_BYTES)}"
    limit, kept_bytes = limits.size_limit_bytes, limits.kept_bytes(disk)
    if limit is not None and limit < LEAST_BYTES:
        return f"the cache is too small: it may occupy {format_size(limit)} ({least})"
    if disk.total_bytes and disk.total_bytes - kept_bytes < LEAST_BYTES:
        total = f"{format_size(disk.total_bytes)}, of which {format_size(kept_bytes)} stay free"
        return f"the cache's disk is too small: {total} ({least})"
    if disk.total_inodes and disk.total_inodes - limits.kept_inodes(disk) < LEAST_INODES:
        return f"the cache's disk is too small: {disk.total_inodes} inodes (expected at least {LEAST_INODES})"
    return ""
