"""What an operator asks of a cache: what is in it, remove what nobody needs, remove all that can go."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from mkfs.cache.claims import sweep
from mkfs.cache.evict import Grip
from mkfs.cache.eviction import Disk, Item, Kind, Limits
from mkfs.cache.files import OpenFile, is_not_ours, open_directory, open_to_read, read_whole, remove
from mkfs.cache.grants import digest_in
from mkfs.cache.layout import LOCKS, Place
from mkfs.cache.locks import LayerLock
from mkfs.cache.records import LIMIT_BYTES, opened
from mkfs.cache.resolutions import manifest_in
from mkfs.cache.shared import Shared
from mkfs.cache.survey import Survey, Weight, disk_of, survey
from mkfs.oci.digest import Digest

_BYTES: Final = frozenset({Kind.LAYER, Kind.PARTIAL})


@final
@dataclass(frozen=True, slots=True)
class LayerUsage:
    """A layer, whole or partial. `pinned`: some process reads it, so that it cannot go."""

    item: Item
    pinned: bool


@final
@dataclass(frozen=True, slots=True)
class CacheUsage:
    """What the cache occupies. `total` is all of it, as `du` counts; `other`: directories, locks, grants, resolutions."""

    layers: tuple[LayerUsage, ...]  # used last first
    documents: Weight
    indexes: Weight
    staging: Weight
    other: Weight
    total: Weight
    disk: Disk
    limits: Limits


@final
@dataclass(frozen=True, slots=True)
class PruneReport:
    """What went: leftovers of dead processes and of changes (how many), and what was evicted. `freed`: what that came to."""

    leftovers: int
    evicted: tuple[Item, ...]
    freed: Weight


@final
@dataclass(frozen=True, slots=True)
class ClearReport:
    """What went, and the layers that stay because they are read."""

    removed: tuple[Item, ...]
    kept: tuple[Item, ...]
    freed: Weight


def usage(shared: Shared) -> CacheUsage:
    """Counts everything. Blocks; raises `OSError`."""
    seen = survey(shared.layout)
    rows = sorted((item for item in seen.items if item.kind in _BYTES), key=lambda item: item.used_ns, reverse=True)
    layers = tuple(LayerUsage(item, pinned=Grip.on(shared.layout, item) is None) for item in rows)
    documents, indexes = _sum(seen, Kind.DOCUMENT), _sum(seen, Kind.INDEX)
    known = sum((documents, indexes, _sum(seen, Kind.LAYER), _sum(seen, Kind.PARTIAL)), seen.staging)
    disk = disk_of(shared.layout.staging)
    return CacheUsage(layers, documents, indexes, seen.staging, seen.total - known, seen.total, disk, shared.room.limits)


def prune(shared: Shared, used_before_ns: int | None) -> PruneReport:
    """Removes leftovers, layers not used since `used_before_ns` (since the epoch), and what is above the limits. Blocks.

    What is read stays, whatever it exceeds. Raises `OSError`.
    """
    layout, before = shared.layout, survey(shared.layout)
    there = {(item.kind, item.digest) for item in before.items}
    leftovers = sweep(layout.staging)
    evicted: list[Item] = []
    for item in before.items:
        # Without a chunk index of our own somebody may still read it, under one that comes with the artifact.
        useless = item.kind is Kind.PARTIAL and (Kind.LAYER, item.digest) in there
        old = item.kind in _BYTES and used_before_ns is not None and item.used_ns < used_before_ns
        if (useless or old) and _take(shared, item):
            leftovers += useless
            evicted += [] if useless else [item]
    evicted += shared.room.shrink()
    seen = survey(layout)
    leftovers += _remove_idle_locks(shared, {item.digest for item in seen.items if item.kind is not Kind.DOCUMENT})
    anywhere, documents = (layout.layer, layout.partial, layout.index, layout.document), (layout.document,)
    leftovers += _remove_records(layout.grants, lambda name, _record: _stands(digest_in(name), anywhere))
    leftovers += _remove_records(layout.resolutions, lambda _name, record: _stands(manifest_in(record), documents))
    return PruneReport(leftovers, tuple(evicted), before.total - survey(layout).total)


def clear(shared: Shared) -> ClearReport:
    """Removes all that no process reads, grants too; of the indexes, those of what is read stay. Blocks; raises `OSError`."""
    layout, before = shared.layout, survey(shared.layout)
    sweep(layout.staging)
    removed = [item for item in before.items if item.kind in _BYTES and _take(shared, item)]
    kept = tuple(item for item in survey(layout).items if item.kind in _BYTES)
    needed = {item.digest for item in kept}
    for item in before.items:
        if item.kind is Kind.DOCUMENT or (item.kind is Kind.INDEX and item.digest not in needed):
            _take(shared, item)
            removed.append(item)
    for records in (layout.grants, layout.resolutions):
        own = open_directory(".", records)
        for name in os.listdir(own.fd):
            remove(name, own)
    _remove_idle_locks(shared, needed)
    shared.room.forget()
    return ClearReport(tuple(removed), kept, before.total - survey(layout).total)


def _take(shared: Shared, item: Item) -> bool:
    gripped = Grip.on(shared.layout, item)
    return gripped is not None and gripped.take_away(shared.layout)


def _sum(seen: Survey, kind: Kind) -> Weight:
    return sum((Weight(item.size_bytes, item.inodes) for item in seen.items if item.kind is kind), Weight())


def _stands(digest: Digest | None, kinds: Iterable[Callable[[Digest], Place]]) -> bool:
    """Whether something of `digest` is there now: looked at after its record was read, which is written last."""
    return digest is not None and any(kind(digest).is_taken() for kind in kinds)


def _remove_records(parent: OpenFile, is_needed: Callable[[str, bytes], bool]) -> int:
    """Removes the records that nobody can use: of what is not here any more, or no whole ones; how many."""
    own = open_directory(".", parent)
    removed = 0
    for name in os.listdir(own.fd):
        with suppress(FileNotFoundError):
            try:
                found = opened(name, read_whole(name, own, LIMIT_BYTES))
            except OSError as error:
                if not is_not_ours(error):
                    raise
                found = None
            if found is None or not is_needed(*found):
                remove(name, own)
                removed += 1
    return removed


def _remove_idle_locks(shared: Shared, needed: set[Digest]) -> int:
    """Removes lock files of layers that are not here and that nobody works on; how many. Who opened one just now locks a file that
    is gone, and may fetch what another one fetches as well.
    """
    removed = 0
    for digest, place in shared.layout.listed(LOCKS):
        if digest in needed:
            continue
        with suppress(OSError):
            if LayerLock(open_to_read(place.name, place.directory, os.O_RDWR)).is_idle():
                remove(place.name, place.directory)
                removed += 1
    return removed
