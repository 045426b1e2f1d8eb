"""Hashing everything that is kept, at once (`verify`) or slowly in the background, and taking away what is damaged.

Theory. Bit rot is found where bytes enter anyway; this finds it before anybody waits for the bytes. The work comes in steps: some
chunks of one layer, or one small file. A layer is pinned for the length of a step only, so that a slow scrub keeps nothing from
being evicted, and reading it for this is no use of it. Bytes are read past the page cache, as everywhere.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, final

from mkfs.cache.chunk_reads import Damaged
from mkfs.cache.documents import LIMIT_BYTES as DOCUMENT_LIMIT_BYTES
from mkfs.cache.documents import Documents
from mkfs.cache.eviction import Item, Kind
from mkfs.cache.files import OpenFile, open_directory, read_whole, remove
from mkfs.cache.indexes import find_index
from mkfs.cache.mending import unpublish
from mkfs.cache.partial import PartialLayer
from mkfs.cache.records import LIMIT_BYTES as RECORD_LIMIT_BYTES
from mkfs.cache.records import opened
from mkfs.cache.shared import Shared
from mkfs.cache.shelf import drop_layer, find_layer
from mkfs.cache.space import reading
from mkfs.cache.stored import StoredLayer
from mkfs.cache.survey import survey
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.chunk_index import ChunkIndex

_STEP_CHUNKS: Final = 16  # read under one pin, and between two pauses


@final
@dataclass(frozen=True, slots=True)
class Damage:
    """Something that was not what it should be, and is gone now: `name` of `kind` (`layers`, `grants`, …), and what was wrong."""

    kind: str
    name: str
    what: str


@final
@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: bytes hashed, and the damage it found. `finished`: the last step of this thing."""

    kind: str
    size_bytes: int
    damage: tuple[Damage, ...] = ()
    finished: bool = True


@final
@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` looked at, by kind, and found."""

    checked: dict[str, int]
    checked_bytes: int
    damage: tuple[Damage, ...]


def verify(shared: Shared, progress: Callable[[int], None]) -> VerifyReport:
    """Hashes everything now; `progress` is told how many bytes each step hashed. Blocks. Raises `CacheUnusable`."""
    checked: dict[str, int] = {}
    damage: list[Damage] = []
    size_bytes = 0
    for step in steps(shared):
        checked[step.kind] = checked.get(step.kind, 0) + step.finished
        damage += step.damage
        size_bytes += step.size_bytes
        progress(step.size_bytes)
    return VerifyReport(checked, size_bytes, tuple(damage))


def steps(shared: Shared) -> Iterator[Step]:
    """Looks at everything that is kept now, a step each time it is asked. Blocks then. Raises `CacheUnusable`."""
    with reading(str(shared.layout.path)):
        yield from _steps(shared)


def _steps(shared: Shared) -> Iterator[Step]:
    documents = Documents(shared)
    for item in sorted(survey(shared.layout).items, key=lambda item: (item.kind.value, item.digest)):
        match item.kind:
            case Kind.LAYER:
                yield from _layer(shared, item)
            case Kind.PARTIAL:
                yield from _partial(shared, item)
            case Kind.INDEX:
                yield _index(shared, item)
            case Kind.DOCUMENT:
                yield _document(shared, documents, item)
    for kind, directory in (("grants", shared.layout.grants), ("resolutions", shared.layout.resolutions)):
        yield from _records(shared, kind, directory)


def scrub(shared: Shared) -> Iterator[Step] | None:
    """`steps` of the one process that scrubs this cache; None if another one does. Raises `CacheUnusable`."""
    with reading(str(shared.layout.path)):
        own = open_directory(".", shared.layout.staging)  # a lock belongs to an open file: the generator's own
        try:
            fcntl.flock(own.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
    return _holding(own, steps(shared))


def _holding(_lock: OpenFile, work: Iterator[Step]) -> Iterator[Step]:
    yield from work


def _layer(shared: Shared, item: Item) -> Iterator[Step]:
    first, count = 0, 1
    found: list[Damage] = []
    while first < count and not found:
        layer = find_layer(shared, item.digest, _into(found, item))
        if layer is None:  # damaged, or evicted meanwhile
            yield Step(item.kind.value, 0, tuple(found), not found)
            break
        count = layer.index.grid.count
        right: list[int] = []
        try:
            for number in range(first, min(first + _STEP_CHUNKS, count)):
                layer.verify(number)
                right.append(number)
        except Damaged as error:
            if _mend(shared, layer, error):
                _into(found, item)(error.what)
            else:  # it was evicted under us, and is not damaged
                count = 0
        finally:
            layer.close()
        first += len(right)
        yield Step(item.kind.value, _size_of(layer.index, right), tuple(found), first >= count and not found)
    if found:  # the rest of it may be there still, chunk by chunk
        yield from _partial(shared, item, first)


def _mend(shared: Shared, layer: StoredLayer, error: Damaged) -> bool:
    """Takes the layer out of the published ones; whether it was there."""
    missing = () if error.number is None else (error.number,)
    return unpublish(shared, layer.index, layer.identity, missing) or drop_layer(shared, layer.index.layer, layer.identity)


def _partial(shared: Shared, item: Item, first: int = 0) -> Iterator[Step]:
    count = first + 1
    while first < count:
        found: list[Damage] = []
        index = find_index(shared, item.digest, _into(found, replace(item, kind=Kind.INDEX)))
        layer = None if index is None else PartialLayer.find(shared, index, _into(found, item))
        if layer is None:  # damaged, evicted, or its index is: then nobody reads it any more, and `prune` removes it
            yield Step(item.kind.value, 0, tuple(found))
            return
        count = layer.index.grid.count
        numbers = range(first, min(first + _STEP_CHUNKS, count))
        stored = set(numbers).difference(layer.missing(numbers))
        try:
            for number in sorted(stored):
                try:
                    layer.verify(number)
                except Damaged as error:
                    _into(found, item)(f"chunk {number}: {error.what}")
        finally:
            layer.close()
        first = numbers.stop
        yield Step(item.kind.value, _size_of(layer.index, stored), tuple(found), first >= count)


def _size_of(index: ChunkIndex, chunks: Iterable[int]) -> int:
    return sum(index.grid.chunk_range(number).length for number in chunks)


def _index(shared: Shared, item: Item) -> Step:
    found: list[Damage] = []
    find_index(shared, item.digest, _into(found, item))
    return Step(item.kind.value, item.size_bytes, tuple(found))


def _document(shared: Shared, documents: Documents, item: Item) -> Step:
    found: list[Damage] = []
    report = _into(found, item)
    place = shared.layout.document(item.digest)
    with suppress(FileNotFoundError):
        size_bytes = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False).st_size
        if size_bytes > DOCUMENT_LIMIT_BYTES:
            remove(place.name, place.directory)
            shared.counters.add(damaged=1)
            report(f"larger than any document (got {size_bytes} bytes)")
        else:
            documents.get(Descriptor("", item.digest, size_bytes), report)
    return Step(item.kind.value, item.size_bytes, tuple(found))


def _records(shared: Shared, kind: str, parent: OpenFile) -> Iterator[Step]:
    own = open_directory(".", parent)
    for name in sorted(os.listdir(own.fd)):
        found: tuple[Damage, ...] = ()
        try:
            right = opened(name, read_whole(name, own, RECORD_LIMIT_BYTES)) is not None
        except FileNotFoundError:
            continue
        except OSError:
            right = False
        if not right:
            remove(name, own)
            shared.counters.add(damaged=1)
            found = (Damage(kind, name, "not a whole record, or one of another name"),)
        yield Step(kind, 0, found)


def _into(found: list[Damage], item: Item) -> Callable[[str], None]:
    return lambda what: found.append(Damage(item.kind.value, str(item.digest), what))
