"""What was received of a layer whose owner has ended: the next one goes on with it, believes none of it, and it never piles up."""

import gc
import os
import time
from pathlib import Path

import pytest

from mkfs.cache.leftovers import KEPT_SECONDS
from mkfs.cache.staging import Staging
from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.material import MIXED, Material, flip, names, raw
from tests.cache.workers import Start

LAYER = raw(5 * MIB + 100)


def left(cache: Cache, material: Material = LAYER, *, upto: int = 2 * MIB + 5) -> None:
    """Receives the first bytes, and ends without a word, as a process does that is killed."""
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content[:upto])
    del staging
    gc.collect()


def inherited(staging: Staging, material: Material = LAYER) -> list[int]:
    return [number for number in range(material.grid.count) if staging.inherited(range(number, number + 1))]


def reopened(root: Path) -> list[str]:
    """What is in staging after the next start."""
    Cache.open(root, min_free_ratio=0).close()
    return names(root / "staging")


@pytest.fixture
def entry(cache: Cache, root: Path) -> Path:
    """The entry that was left."""
    left(cache)
    (name,) = names(root / "staging")
    return root / "staging" / name


def test_the_next_one_goes_on_with_whole_chunks_and_publishes_the_layer(cache: Cache, root: Path) -> None:
    left(cache)
    staging = cache.stage(LAYER.blob, LAYER.grid)
    assert inherited(staging) == [0, 1]
    assert len(names(root / "staging")) == 1
    read = bytearray(2 * MIB)
    staging.read(0, memoryview(read))
    assert LAYER.is_right(ByteRange(0, 2 * MIB), read)
    staging.write(2 * MIB, LAYER.content[2 * MIB :])
    stored = staging.publish(LAYER.index)
    assert LAYER.is_right(LAYER.whole, stored.read(LAYER.whole))
    assert names(root / "staging") == []
    assert names(LAYER.directory(root)) == ["1", "index"]


def test_it_is_left_more_than_once_and_across_stored_files(cache: Cache) -> None:
    left(cache, MIXED, upto=MIB + 300_000)
    staging = cache.stage(MIXED.blob, MIXED.grid)
    first = inherited(staging, MIXED)
    at = MIXED.grid.chunk_range(first[-1]).stop
    staging.write(at, MIXED.content[at : at + 2 * MIB])
    staging.leave()
    staging = cache.stage(MIXED.blob, MIXED.grid)
    assert first < inherited(staging, MIXED)
    for number in inherited(staging, MIXED):
        chunk = MIXED.grid.chunk_range(number)
        read = bytearray(chunk.length)
        staging.read(chunk.start, memoryview(read))
        assert MIXED.is_right(chunk, read)


def test_a_layer_with_a_hole_in_it_is_not_published(cache: Cache) -> None:
    left(cache)
    staging = cache.stage(LAYER.blob, LAYER.grid)
    staging.write(3 * MIB, LAYER.content[3 * MIB :])
    with pytest.raises(ValueError, match="missing"):
        staging.publish(LAYER.index)


def test_what_was_inherited_is_hashed_from_the_disk_before_anybody_gets_it(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    left(cache)
    (name,) = names(disk / "staging")
    flip(disk / "staging" / name / "1", 1000)
    staging = cache.stage(LAYER.blob, LAYER.grid)
    staging.write(2 * MIB, LAYER.content[2 * MIB :])
    stored = staging.publish(LAYER.index)
    assert stored.read_now(ByteRange(0, 100)) is None
    with pytest.raises(Exception, match="damaged at bytes"):
        stored.read(ByteRange(0, 100))


def test_what_a_living_owner_receives_is_nobody_elses(cache: Cache, root: Path) -> None:
    mine = cache.stage(LAYER.blob, LAYER.grid)
    mine.write(0, LAYER.content[: 2 * MIB])
    theirs = cache.stage(LAYER.blob, LAYER.grid)
    assert inherited(theirs) == []
    assert len(names(root / "staging")) == 2


def test_another_grid_another_layer_and_who_begins_anew_get_nothing(cache: Cache) -> None:
    left(cache)
    other_grid, other = Material(LAYER.content, MIXED.table), raw(5 * MIB + 100, seed=2)
    assert inherited(cache.stage(LAYER.blob, other_grid.grid), other_grid) == []
    assert inherited(cache.stage(other.blob, other.grid), other) == []
    assert inherited(cache.stage(LAYER.blob, LAYER.grid, anew=True)) == []
    assert cache.has_leftover(LAYER.digest)
    assert not cache.has_leftover(raw(1).digest)


@pytest.mark.parametrize("harm", ["flip", "truncate", "no ledger", "no file", "link"])
def test_what_was_damaged_meanwhile_is_not_gone_on_with(cache: Cache, entry: Path, harm: str) -> None:
    match harm:
        case "flip":
            flip(entry / "ledger", 20)
        case "truncate":
            os.truncate(entry / "1", MIB)
        case "no ledger":
            (entry / "ledger").unlink()
        case "no file":
            (entry / "1").unlink()
        case "link":
            (entry / "1").rename(entry.parent / "x.gone")
            (entry / "1").symlink_to(entry.parent / "x.gone")
    assert inherited(cache.stage(LAYER.blob, LAYER.grid)) == []


def test_who_leaves_nothing_leaves_no_entry_either(cache: Cache, root: Path) -> None:
    staging = cache.stage(LAYER.blob, LAYER.grid)
    staging.write(0, LAYER.content[:1000])
    staging.leave()
    staging.leave()
    assert names(root / "staging") == []
    staging = cache.stage(LAYER.blob, LAYER.grid)
    staging.write(0, LAYER.content[: 2 * MIB])
    staging.leave()
    with pytest.raises(ValueError, match="has ended"):
        staging.write(2 * MIB, LAYER.content[2 * MIB :])
    assert inherited(cache.stage(LAYER.blob, LAYER.grid)) == [0, 1]


def test_it_outlives_the_next_start_for_a_day(root: Path, entry: Path) -> None:
    assert reopened(root) == [entry.name]
    for age_seconds, stays in ((KEPT_SECONDS - 600, True), (KEPT_SECONDS + 1, False)):
        os.utime(entry / "ledger", (time.time() - age_seconds,) * 2)
        assert reopened(root) == [entry.name] * stays


def test_who_publishes_the_layer_takes_away_what_others_left(cache: Cache, root: Path, entry: Path) -> None:
    living = cache.stage(LAYER.blob, LAYER.grid, anew=True)
    living.write(0, LAYER.content[: 2 * MIB])
    staging = cache.stage(LAYER.blob, LAYER.grid, anew=True)
    staging.write(0, LAYER.content)
    staging.publish(LAYER.index)
    assert len(names(root / "staging")) == 1
    assert not entry.exists()
    living.leave()
    assert names(root / "staging") == []


def test_what_was_left_of_a_layer_that_is_here_goes_with_the_next_start(cache: Cache, root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    MIXED.publish(cache)
    worker.kill()
    assert len(names(root / "staging")) == 1
    assert reopened(root) == []


@pytest.mark.parametrize("harm", ["empty", "no ledger", "a file", "another name"])
def test_what_is_of_no_use_goes_with_the_next_start(root: Path, entry: Path, harm: str) -> None:
    match harm:
        case "empty":
            (entry / "ledger").write_bytes((entry / "ledger").read_bytes().replace(b"\1", b"\0"))
        case "no ledger":
            (entry / "ledger").unlink()
        case "a file":
            entry.rename(entry.with_name("x.gone"))
            entry.touch()
        case "another name":
            entry.rename(entry.with_name("0123.sha256.beef"))
    assert reopened(root) == []


def test_it_goes_before_anything_that_was_proven(root: Path) -> None:
    cache = Cache.open(root, min_free_ratio=0, size_limit_bytes=14 * MIB)
    proven, more = raw(4 * MIB, seed=3), raw(5 * MIB, seed=4)
    proven.publish(cache).close()
    left(cache)
    assert len(names(root / "staging")) == 1
    more.publish(cache).close()
    assert names(root / "staging") == []
    assert cache.layer(proven.digest) is not None


def test_it_is_no_way_round_the_limits(root: Path, entry: Path) -> None:
    narrow = Cache.open(root, min_free_ratio=0, size_limit_bytes=4 * MIB)
    with pytest.raises(CacheUnusable, match="no room in the cache"):
        narrow.stage(LAYER.blob, LAYER.grid)
    wide = Cache.open(root, min_free_ratio=0, size_limit_bytes=6 * MIB)
    assert inherited(wide.stage(LAYER.blob, LAYER.grid)) == [0, 1]


def test_clear_takes_it_away(cache: Cache, root: Path, entry: Path) -> None:
    cache.clear()
    assert names(root / "staging") == []
