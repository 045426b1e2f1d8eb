"""Crashes, lies and rot under a layer stored chunk by chunk: each costs a fetch, none gives a wrong byte or a hole's zeros."""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.archive.entry import Entry, EntryKind
from mkfs.cache.chunk_reads import ChunkReads
from mkfs.cache.ledger import Ledger
from mkfs.cache.partial import Missing, PartialLayer
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged
from mkfs.errors import CacheUnusable, IntegrityError
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.conftest import Mount
from tests.cache.disks import rot
from tests.cache.material import MIXED, Material, archive, drop_pages, names, raw, samples
from tests.cache.partials import ALL, SECOND, fill, forget, note, place


def test_a_crash_between_chunk_and_ledger_costs_one_fetch(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_arguments: object, **_keywords: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "set", crash)
        with pytest.raises(KeyboardInterrupt):
            fill(cache.partial(MIXED.index), 2)
    again = cache.partial(MIXED.index)
    assert not again.has(2)
    with pytest.raises(Missing):
        again.read(SECOND)
    fill(again, 2)
    assert MIXED.is_right(SECOND, again.read(SECOND))


def test_a_ledger_ahead_of_its_chunks_is_found_out_and_healed(cache: Cache, root: Path) -> None:
    cache.partial(MIXED.index).close()
    note(root, 2, b"\1")
    partial = cache.partial(MIXED.index)
    assert partial.has(2)
    assert partial.read_now(SECOND) is None
    with pytest.raises(Damaged) as caught:
        partial.read(SECOND)
    assert caught.value.number == 2
    assert not partial.has(2)
    with pytest.raises(Missing):
        partial.read(SECOND)
    fill(partial, 2)
    assert MIXED.is_right(SECOND, partial.read(SECOND))
    assert MIXED.is_right(SECOND, cache.partial(MIXED.index).read(SECOND))


def test_a_half_written_chunk_is_found_out(cache: Cache, root: Path) -> None:
    fill(cache.partial(MIXED.index)).close()
    with (place(root) / "1").open("r+b") as file:
        file.seek(MIB + 300_000)
        file.write(bytes(MIB - 300_000))
    drop_pages(place(root))
    forget(cache)
    with pytest.raises(Damaged):
        cache.partial(MIXED.index).read(SECOND)


@pytest.mark.parametrize("state", [b"\0", b"\2", b"\xff"])
def test_a_ledger_byte_that_says_anything_else_means_missing(cache: Cache, root: Path, state: bytes) -> None:
    fill(cache.partial(MIXED.index)).close()
    note(root, 2, state)
    assert cache.partial(MIXED.index).missing(ALL) == [2]


def test_damage_while_the_layer_is_open_is_an_error_and_the_chunk_is_fetched_anew(disk: Path, image: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    partial = fill(cache.partial(MIXED.index))
    forget(cache)
    assert MIXED.is_right(SECOND, partial.read_now(SECOND))
    drop_pages(place(disk))
    rot(image, place(disk) / "1", MIB + 17)
    assert partial.read_now(SECOND) is None
    with pytest.raises(Damaged) as caught:
        partial.read(SECOND)
    assert caught.value.number == 2
    assert (partial.has(2), partial.missing(ALL)) == (False, [2])
    fill(partial, 2)
    forget(cache)
    assert MIXED.is_right(SECOND, partial.read_now(SECOND))
    drop_pages(place(disk))
    assert MIXED.is_right(SECOND, partial.read(SECOND))


def test_a_write_next_to_it_brings_no_rotten_byte_of_a_chunk_into_memory(disk: Path, image: Path) -> None:
    """The trap: chunks 0 and 4 share a page, and writing one makes the kernel read the other from the disk, for all processes."""
    mine, theirs = Cache.open(disk, min_free_ratio=0), Cache.open(disk, min_free_ratio=0)
    partial = fill(mine.partial(MIXED.index), 0)
    drop_pages(place(disk))
    rot(image, place(disk) / "rest", 5000)
    forget(mine)
    fill(theirs.partial(MIXED.index), 4)
    shared, inner = ByteRange(4096, 6144), ByteRange(0, 4096)
    assert (place(disk) / "rest").read_bytes()[4096:6144] != MIXED.part(shared)
    assert partial.read_now(shared) is None
    assert partial.read_now(inner) is None or MIXED.is_right(inner, partial.read_now(inner))
    with pytest.raises(Damaged):
        partial.read(shared)


FILES = ["rest", "1", "2", "ledger"]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def longer(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def foreign(path: Path) -> None:
    path.write_bytes(b"\x55" * path.stat().st_size)


def zeros(path: Path) -> None:
    size_bytes = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size_bytes)


def linked(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [cut, longer, foreign, zeros, linked, a_fifo, Path.unlink])
@pytest.mark.parametrize("opened", [True, False], ids=["open", "before opening"])
def test_garbage_in_any_file_costs_bytes_and_gives_none(
    cache: Cache, root: Path, damage: Callable[[Path], None], file: str, opened: bool
) -> None:
    partial = fill(cache.partial(MIXED.index))
    drop_pages(place(root))
    damage(place(root) / file)
    drop_pages(place(root))
    forget(cache)
    partial = partial if opened else cache.partial(MIXED.index)
    for wanted in samples(MIXED):
        try:
            assert MIXED.is_right(wanted, partial.read(wanted))
        except (Missing, Damaged):
            continue
    again = fill(cache.partial(MIXED.index))
    assert MIXED.is_right(MIXED.whole, again.read(MIXED.whole))
    assert names(root / "staging") == []


def test_chunks_cut_by_another_index_are_not_believed(cache: Cache, root: Path) -> None:
    fill(cache.partial(MIXED.index)).close()
    one_piece = Material(MIXED.content, None)
    partial = cache.partial(one_piece.index)
    assert partial.missing(range(one_piece.grid.count)) == list(range(one_piece.grid.count))
    assert names(place(root)) == ["1", "ledger"]


def test_not_even_if_its_files_look_the_same(cache: Cache) -> None:
    content = raw(2 * MIB).content
    first, last = (Material(content, (Entry(b"a", EntryKind.FILE, 0o644, MIB, offset),)) for offset in (0, MIB))
    assert first.grid.file_sizes == last.grid.file_sizes
    fill(cache.partial(first.index), 0, 1, material=first).close()
    assert cache.partial(last.index).missing(range(2)) == [0, 1]


def test_without_room_a_chunk_stays_missing_and_the_others_can_be_read(mounted: Mount) -> None:
    cache = Cache.open(mounted("tmpfs", "size=3m,mode=700") / "cache", min_free_ratio=0)
    material = raw(4 * MIB)
    partial = fill(cache.partial(material.index), 0, 1, material=material)
    with pytest.raises(CacheUnusable, match="no room in the cache"):
        fill(partial, 2, 3, material=material)
    missing = partial.missing(range(4))
    assert missing
    wanted = ByteRange(0, 2 * MIB)
    assert material.is_right(wanted, partial.read(wanted))


def test_inodes_count_as_well(mounted: Mount) -> None:
    cache = Cache.open(mounted("tmpfs", "size=64m,nr_inodes=24,mode=0700") / "cache", min_free_ratio=0)
    many = archive(*[MIB] * 20)
    with pytest.raises(CacheUnusable, match="23 inodes needed") as caught:
        cache.partial(many.index)
    assert caught.value.where.startswith(f"layer {many.index.layer} in ")


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE])
def test_what_cannot_be_looked_at_just_now_is_not_removed(cache: Cache, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    fill(cache.partial(MIXED.index)).close()

    def fails(*_arguments: object) -> Ledger:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "open", fails)
        with pytest.raises(CacheUnusable, match=os.strerror(code)):
            cache.partial(MIXED.index)
    assert cache.partial(MIXED.index).missing(ALL) == []


def test_a_ledger_that_cannot_be_read_notes_nothing_and_one_that_cannot_be_written_is_no_error(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache.partial(MIXED.index)).close()
    partial = fill(cache.partial(MIXED.index), 2)

    def fails(*_arguments: object, **_keywords: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "missing", fails)
        patch.setattr(Ledger, "set", fails)
        assert partial.missing(ALL) == [number for number in ALL if number != 2]
        with pytest.raises(Missing):
            partial.read(MIXED.whole)
        partial.mark_missing(2)
        assert partial.missing(ALL) == list(ALL)
    assert partial.missing(ALL) == []
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_no_chunk_is_written_to_a_file_that_somebody_keeps_hurting(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = cache.partial(MIXED.index)

    def hurt(*_arguments: object) -> None:
        raise IntegrityError("file 1 has a wrong size")

    with monkeypatch.context() as patch:
        patch.setattr(ChunkReads, "write", hurt)
        with pytest.raises(CacheUnusable) as caught:
            fill(partial, 2)
    assert caught.value.what == "the cache cannot be written: file 1 has a wrong size"
    assert caught.value.where == f"layer {MIXED.index.layer} in {root}"
    assert not partial.has(2)


def test_what_is_damaged_is_counted_and_reported_in_words(cache: Cache, root: Path) -> None:
    fill(cache.partial(MIXED.index)).close()
    cut(place(root) / "2")
    reports: list[str] = []
    healed = PartialLayer.find(cache._shared, MIXED.index, reports.append)
    assert healed is not None
    assert [file in report for file, report in zip(["2"], reports, strict=True)] == [True]
    assert cache.statistics().damaged == 1
    assert healed.missing(ALL) == [number for number in ALL if MIXED.grid.place(number)[0] == 2]
    assert names(place(root)) == ["1", "2", "ledger", "rest"]
    assert (place(root) / "2").stat().st_size == MIXED.grid.file_sizes[2]
    healed.close()
    foreign(place(root) / "ledger")
    assert PartialLayer.find(cache._shared, MIXED.index, reports.append) is None
    assert reports[1:] == ["ledger is damaged, or of another chunk index"]
    assert cache.statistics().damaged == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_leaves_a_chunk_missing(cache: Cache, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    partial = cache.partial(MIXED.index)
    real = os.pwrite

    def fails_half_way(fd: int, data: memoryview, offset: int) -> int:
        if len(data) < 4096:
            raise OSError(code, os.strerror(code))
        return real(fd, data[: len(data) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fails_half_way)
        with pytest.raises(CacheUnusable, match=os.strerror(code)):
            fill(partial, 2)
    assert partial.read_now(SECOND) is None
    with pytest.raises(Missing):
        partial.read(SECOND)
    fill(partial, 2)
    assert MIXED.is_right(SECOND, partial.read(SECOND))


class Daemons:
    """Two objects for one layer, as two daemons have, of which one may be behind. Each method is something that happens."""

    def __init__(self, cache: Cache, root: Path) -> None:
        self.cache, self.root = cache, root
        self.layers = [cache.partial(MIXED.index), cache.partial(MIXED.index)]

    def put(self, at: int, number: int) -> None:
        fill(self.layers[at], number)

    def read(self, at: int, number: int) -> None:
        wanted = MIXED.grid.chunk_range(number)
        with suppress(Missing, Damaged):
            assert MIXED.is_right(wanted, self.layers[at].read(wanted))

    def read_now(self, at: int, number: int) -> None:
        wanted = MIXED.grid.chunk_range(number)
        now = self.layers[at].read_now(wanted)
        assert now is None or MIXED.is_right(wanted, now)

    def lose_pages(self, _at: int, _number: int) -> None:
        drop_pages(place(self.root))
        forget(self.cache)

    def reopen(self, at: int, _number: int) -> None:
        self.layers[at].close()
        self.layers[at] = self.cache.partial(MIXED.index)

    def lie(self, _at: int, number: int) -> None:
        """The ledger names a chunk that may not be there."""
        note(self.root, number, b"\1")

    def fail_power(self, _at: int, number: int) -> None:
        """A chunk does not reach the disk, and nobody who knew it is alive afterwards."""
        forget(self.cache)
        file, offset = MIXED.grid.place(number)
        with (place(self.root) / ("rest" if file == 0 else str(file))).open("r+b") as stored:
            stored.seek(offset)
            stored.write(bytes(MIXED.grid.chunk_range(number).length))
        for at in range(2):
            self.reopen(at, number)


EVENTS = [Daemons.put, Daemons.read, Daemons.read_now, Daemons.lose_pages, Daemons.reopen, Daemons.lie, Daemons.fail_power]
steps = st.lists(st.tuples(st.sampled_from([Daemons.put, *EVENTS]), st.integers(0, 1), st.sampled_from(ALL)), max_size=25)


@given(steps)
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_every_order_of_events_a_byte_is_right_or_not_there(cache: Cache, root: Path, steps: list) -> None:
    shutil.rmtree(place(root), ignore_errors=True)  # the last example's
    forget(cache)
    daemons = Daemons(cache, root)
    for event, at, number in steps:
        event(daemons, at, number)
    for number in ALL:
        daemons.put(0, number)
    for at in range(2):
        daemons.lose_pages(at, 0)
        assert MIXED.is_right(MIXED.whole, daemons.layers[0].read(MIXED.whole))
