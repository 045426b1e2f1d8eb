"""One bad block of a published layer costs one chunk: the others, and everybody who reads them, notice nothing."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mkfs.cache.partial import PartialLayer
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.errors import CacheUnusable
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.conftest import Mount
from tests.cache.disks import rot
from tests.cache.material import MIXED, Material, drop_pages, flip, names, raw, samples
from tests.cache.partials import ALL, SECOND, fill, forget, place
from tests.cache.test_evict import bounded
from tests.cache.workers import Start

BAD = 2  # the chunk that SECOND is: the second one of stored file 1
FILES = ("1", "2", "rest")


def hurt(root: Path) -> None:
    """Damages chunk BAD on the disk."""
    flip(MIXED.directory(root) / "1", MIB + 17)
    drop_pages(MIXED.directory(root))


def found(cache: Cache, material: Material = MIXED) -> StoredLayer:
    stored = cache.layer(material.digest)
    assert stored is not None
    return stored


def mended(cache: Cache, root: Path) -> PartialLayer:
    """A published layer that went bad and was found out, as a reader leaves it."""
    MIXED.publish(cache).close()
    hurt(root)
    stored = found(cache)
    with pytest.raises(Damaged) as caught:
        stored.read(SECOND)
    cache.mend(stored, caught.value.number)
    return cache.partial(MIXED.index)


def inodes(directory: Path) -> list[int]:
    return [(directory / name).stat().st_ino for name in FILES]


def contents(directory: Path) -> list[bytes]:
    return [(directory / name).read_bytes() for name in FILES]


def test_all_but_the_damaged_chunk_is_still_there(cache: Cache, root: Path) -> None:
    partial = mended(cache, root)
    assert cache.layer(MIXED.digest) is None
    assert partial.missing(ALL) == [BAD]
    for number in set(ALL) - {BAD}:
        wanted = MIXED.grid.chunk_range(number)
        assert MIXED.is_right(wanted, partial.read(wanted))
    fill(partial, BAD)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    partial.close()
    again = Cache.open(root, min_free_ratio=0)
    for wanted in samples(MIXED):
        assert MIXED.is_right(wanted, again.partial(MIXED.index).read(wanted))
    assert again.statistics().damaged == 0
    assert names(root / "staging") == []


def test_what_was_published_is_never_written_again(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    before = inodes(MIXED.directory(root))
    hurt(root)
    damaged = contents(MIXED.directory(root))
    cache.mend(found(cache), BAD)
    for number in ALL:
        partial = cache.partial(MIXED.index)
        partial.mark_missing(number)
        fill(partial, number).close()
    assert inodes(place(root)) == before
    assert contents(place(root)) == damaged
    assert names(place(root)) == ["1", "1.mended", "2", "2.mended", "index", "ledger", "rest", "rest.mended"]


def test_what_is_mended_costs_its_own_blocks_only(cache: Cache, root: Path) -> None:
    partial = mended(cache, root)
    before = cache.usage().total.size_bytes
    fill(partial, BAD)
    assert cache.usage().total.size_bytes - before <= len(MIXED.chunk(BAD)) + 4096


def test_who_has_the_layer_open_reads_on_files_it_had_not_opened_yet_too(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    theirs = Cache.open(root, min_free_ratio=0)
    sibling = found(theirs)
    hurt(root)
    cache.mend(found(cache), BAD)
    fill(cache.partial(MIXED.index), BAD)
    for number in set(ALL) - {BAD}:
        wanted = MIXED.grid.chunk_range(number)
        assert MIXED.is_right(wanted, sibling.read(wanted))
    assert theirs.statistics().damaged == 0
    with pytest.raises(Damaged):
        sibling.read(SECOND)
    theirs.mend(sibling, BAD)  # changes nothing: it is done
    partial = theirs.partial(MIXED.index)
    assert partial.missing(ALL) == []
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_a_reader_of_the_layer_keeps_it_from_being_evicted_as_before(root: Path, start: Start) -> None:
    cache = bounded(root, 6 * MIB)
    MIXED.publish(cache).close()
    reader = start()
    assert reader.ask("hold") == "held"
    hurt(root)
    cache.mend(found(cache), BAD)
    with pytest.raises(CacheUnusable, match="what is in use cannot go"):
        raw(4 * MIB).publish(cache)
    assert not cache.partial(MIXED.index).missing(range(1))
    reader.kill()
    raw(4 * MIB).publish(cache).close()
    assert not place(root).exists()


def test_a_second_process_that_finds_other_damage_loses_nothing_either(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    theirs = Cache.open(root, min_free_ratio=0)
    sibling = found(theirs)
    hurt(root)
    flip(MIXED.directory(root) / "2", 5)
    drop_pages(MIXED.directory(root))
    cache.mend(found(cache), BAD)
    other = MIXED.grid.segments[3].range  # file 2
    with pytest.raises(Damaged) as caught:
        sibling.read(ByteRange(other.start, other.start + 10))
    theirs.mend(sibling, caught.value.number)
    partial = theirs.partial(MIXED.index)
    assert partial.missing(ALL) == [BAD]
    with pytest.raises(Damaged):
        partial.read(MIXED.grid.chunk_range(caught.value.number))
    fill(partial, *partial.missing(ALL))
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_a_kill_before_the_rename_leaves_a_layer_that_is_read_and_mended_as_before(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MIXED.publish(cache).close()
    hurt(root)
    real = os.rename

    def killed(source: str, target: str, **where: int) -> None:
        if source == MIXED.digest.hex:
            raise KeyboardInterrupt
        real(source, target, **where)

    stored = found(cache)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            cache.mend(stored, BAD)
    assert "ledger" in names(MIXED.directory(root))
    first = MIXED.grid.chunk_range(0)
    assert MIXED.is_right(first, found(cache).read(first))
    cache.mend(found(cache), 3)
    assert cache.partial(MIXED.index).missing(ALL) == [3]


def test_a_mended_chunk_that_goes_bad_again_is_fetched_again(cache: Cache, root: Path) -> None:
    fill(mended(cache, root), BAD).close()
    flip(place(root) / "1.mended", MIB + 4)
    drop_pages(place(root))
    forget(cache)
    partial = cache.partial(MIXED.index)
    with pytest.raises(Damaged):
        partial.read(SECOND)
    assert partial.missing(ALL) == [BAD]
    fill(partial, BAD)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def cut(path: Path) -> None:
    os.truncate(path, 100)


def longer(path: Path) -> None:
    os.truncate(path, 9 * MIB)


@pytest.mark.parametrize("harm", [Path.unlink, cut, longer])
@pytest.mark.parametrize("name", ["1.mended", "1", "rest"])
def test_files_that_went_beside_the_mended_ones_cost_their_chunks(
    cache: Cache, root: Path, harm: Callable[[Path], None], name: str
) -> None:
    fill(mended(cache, root), BAD).close()
    harm(place(root) / name)
    forget(cache)
    partial = cache.partial(MIXED.index)
    for number in ALL:
        try:
            partial.read(MIXED.grid.chunk_range(number))
        except Damaged:
            fill(partial, number)
    forget(cache)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    fresh = Cache.open(root, min_free_ratio=0).partial(MIXED.index)
    assert MIXED.is_right(MIXED.whole, fresh.read(MIXED.whole))


def test_a_mended_chunk_is_answered_from_memory_and_rot_beside_it_is_not(disk: Path, image: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    partial = fill(mended(cache, disk), BAD)
    partial.read(MIXED.whole)
    forget(cache)
    assert MIXED.is_right(SECOND, partial.read_now(SECOND))
    drop_pages(place(disk))
    rot(image, place(disk) / "1.mended", MIB + 70_000)
    assert partial.read_now(SECOND) is None
    with pytest.raises(Damaged):
        partial.read(SECOND)


def test_the_index_that_is_kept_is_then_the_one_that_cut_the_files(cache: Cache, root: Path) -> None:
    one_piece = Material(MIXED.content, None)
    one_piece.publish(cache).close()
    cache.keep_index(MIXED.index)  # another kit showed what is in the layer: worth more, and cut in another way
    stored = found(cache)
    cache.mend(stored, 1)
    kept = cache.index(MIXED.digest)
    assert kept is not None
    assert kept.grid == one_piece.grid
    assert cache.partial(kept).missing(range(kept.grid.count)) == [1]


def test_wrong_bytes_in_memory_of_what_was_published_are_never_answered(disk: Path) -> None:
    fill(mended(Cache.open(disk, min_free_ratio=0), disk), BAD).close()
    fresh = Cache.open(disk, min_free_ratio=0)
    partial = fresh.partial(MIXED.index)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    wrong = (place(disk) / "1").read_bytes()  # brings its pages in
    assert wrong[MIB : 2 * MIB] != MIXED.part(SECOND)
    forget(fresh)
    now = partial.read_now(SECOND)
    assert now is None or MIXED.is_right(SECOND, now)


def test_chunks_left_over_that_nobody_reads_make_way(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    fill(cache.partial(MIXED.index), 0).close()
    hurt(root)
    cache.mend(found(cache), BAD)
    assert cache.partial(MIXED.index).missing(ALL) == [BAD]


def test_a_newer_copy_is_spared(cache: Cache) -> None:
    old = MIXED.publish(cache)
    cache.drop(MIXED.digest, old)
    MIXED.publish(cache)
    cache.mend(old, BAD)
    assert cache.layer(MIXED.digest) is not None


@pytest.mark.parametrize("file", FILES)
def test_a_lost_file_costs_its_own_chunks(cache: Cache, root: Path, file: str) -> None:
    MIXED.publish(cache).close()
    (MIXED.directory(root) / file).unlink()
    assert cache.layer(MIXED.digest) is None
    assert cache.statistics().damaged == 1
    partial = cache.partial(MIXED.index)
    lost = partial.missing(ALL)
    assert {MIXED.grid.place(number)[0] for number in lost} == {0 if file == "rest" else int(file)}
    fill(partial, *lost)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_a_layer_that_lost_all_its_files_is_removed(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    for file in FILES:
        os.truncate(MIXED.directory(root) / file, 0)
    assert cache.layer(MIXED.digest) is None
    assert not MIXED.directory(root).exists()
    assert not place(root).exists()


def test_where_chunks_of_it_are_read_already_the_damaged_layer_is_dropped(cache: Cache, root: Path) -> None:
    reader = fill(cache.partial(MIXED.index), 0)  # of another process, that opened it before the layer was published
    MIXED.publish(cache).close()
    cache.mend(found(cache), BAD)
    assert cache.layer(MIXED.digest) is None
    assert cache.partial(MIXED.index).missing(ALL) == list(ALL)[1:]
    assert MIXED.is_right(MIXED.grid.chunk_range(0), reader.read(MIXED.grid.chunk_range(0)))
    assert names(root / "staging") == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_where_no_ledger_can_be_written_the_damaged_layer_is_dropped(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    MIXED.publish(cache).close()
    stored = found(cache)

    def fails(*_arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fails)
        cache.mend(stored, BAD)
    assert cache.layer(MIXED.digest) is None
    assert cache.partial(MIXED.index).missing(ALL) == list(ALL)
    assert names(root / "staging") == []


def test_without_room_for_the_chunk_the_others_can_be_read(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=6m,mode=700")
    cache = Cache.open(root, min_free_ratio=0)
    partial = mended(cache, root)
    (root / "others").write_bytes(bytes(os.statvfs(root).f_bavail * os.statvfs(root).f_frsize))
    with pytest.raises(CacheUnusable, match="no room"):
        fill(partial, BAD)
    assert partial.missing(ALL) == [BAD]
    first = MIXED.grid.chunk_range(1)
    assert MIXED.is_right(first, partial.read(first))


def test_a_ledger_of_a_mended_layer_that_is_damaged_costs_the_chunks_and_no_wrong_byte(cache: Cache, root: Path) -> None:
    fill(mended(cache, root), BAD).close()
    flip(place(root) / "ledger", 7)
    partial = cache.partial(MIXED.index)
    assert partial.missing(ALL) == list(ALL)
    assert MIXED.is_right(MIXED.whole, fill(partial).read(MIXED.whole))
