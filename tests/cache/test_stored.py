"""A published layer: right bytes from memory and from the disk, and from a damaged disk an error or nothing, never a wrong byte."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.errors import CacheUnusable
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.cache.material import MIXED, Material, drop_pages, flip, names, raw, samples

FILES = ["rest", "1", "2", "index"]


def forget(cache: Cache) -> None:
    """Takes hot chunks away, so that the next read goes to the disk."""
    cache._shared.hot.clear()


def found(cache: Cache, material: Material = MIXED) -> StoredLayer:
    stored = cache.layer(material.digest)
    assert stored is not None
    return stored


def bit_flip(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def flipped_last_byte(path: Path) -> None:
    flip(path, path.stat().st_size - 1)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def zero_tail(path: Path) -> None:
    size_bytes = path.stat().st_size
    keep = size_bytes - min(size_bytes, 5000) // 2
    os.truncate(path, keep)
    os.truncate(path, size_bytes)


def longer(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def deleted(path: Path) -> None:
    path.unlink()


def foreign(path: Path) -> None:
    size_bytes = path.stat().st_size
    path.unlink()
    path.write_bytes(b"\x55" * size_bytes)


def linked(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SAME_SIZE = {bit_flip, flipped_last_byte, zero_tail, foreign}
DAMAGES = [bit_flip, flipped_last_byte, truncated, emptied, zero_tail, longer, deleted, foreign, linked, a_directory, a_fifo]


def never_a_wrong_byte(stored: StoredLayer, material: Material) -> int:
    """Reads everything in every way; how many reads said that the cache is damaged."""
    damaged = 0
    for wanted in samples(material):
        for read in (stored.read_now, stored.read):
            try:
                answer = read(wanted)
            except Damaged:
                damaged += 1
            else:
                assert answer is None or material.is_right(wanted, answer)
    return damaged


def test_reads_of_every_shape_give_the_layers_bytes(cache: Cache) -> None:
    MIXED.publish(cache).close()
    stored = found(cache)
    for wanted in samples(MIXED):
        assert MIXED.is_right(wanted, stored.read(wanted))
        assert MIXED.is_right(wanted, stored.read(wanted))
        now = stored.read_now(wanted)
        assert now is None or MIXED.is_right(wanted, now)
    assert stored.read_now(ByteRange(7, 7)) == b""


def test_a_layer_received_by_us_answers_at_once_and_without_the_disk(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    material = raw(6 * MIB)
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content)
    stored = staging.publish(material.index)
    stored.read(ByteRange(0, 1))  # opens the file
    for wanted in material.whole.pieces(128 * KIB):
        assert material.is_right(wanted, stored.read_now(wanted))
    assert cache.statistics().hashed_chunks == 0


def test_a_layer_from_an_earlier_life_answers_at_once_only_after_it_was_hashed(root: Path) -> None:
    MIXED.publish(Cache.open(root, min_free_ratio=0)).close()
    cache = Cache.open(root, min_free_ratio=0)
    stored, wanted = found(cache), ByteRange(10, 20)
    assert stored.read_now(wanted) is None
    assert MIXED.is_right(wanted, stored.read(wanted))
    assert MIXED.is_right(wanted, stored.read_now(wanted))
    assert (cache.statistics().hashed_chunks, cache.statistics().memory_hits, cache.statistics().disk_hits) == (1, 1, 1)


def test_a_read_within_one_hot_chunk_copies_nothing(cache: Cache) -> None:
    material = raw(2 * MIB)
    material.publish(cache).close()
    stored = found(cache, material)
    one, two = stored.read(ByteRange(0, MIB)), stored.read_now(ByteRange(5, 10))
    assert isinstance(one, memoryview)
    assert isinstance(two, memoryview)
    assert one.obj is two.obj
    assert one.readonly


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_before_the_layer_is_opened_is_absence_or_an_error(
    cache: Cache, root: Path, damage: Callable[[Path], None], file: str
) -> None:
    MIXED.publish(cache).close()
    drop_pages(MIXED.directory(root))
    damage(MIXED.directory(root) / file)
    drop_pages(MIXED.directory(root))
    stored = cache.layer(MIXED.digest)
    if stored is None:
        assert not MIXED.directory(root).exists()
        assert names(root / "staging") == []
    else:
        assert damage in SAME_SIZE
        assert file != "index"
        assert never_a_wrong_byte(stored, MIXED) > 0
        cache.drop(MIXED.digest, stored)
    assert cache.statistics().damaged > 0
    assert cache.layer(MIXED.digest) is None
    assert MIXED.is_right(MIXED.whole, MIXED.publish(cache).read(MIXED.whole))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("received", [True, False], ids=["received", "found"])
def test_damage_while_the_layer_is_open_is_an_error_at_worst(
    cache: Cache, root: Path, damage: Callable[[Path], None], file: str, received: bool
) -> None:
    published = MIXED.publish(cache)
    stored = published if received else found(cache)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    directory = MIXED.directory(root)
    drop_pages(directory)
    damage(directory / file)
    drop_pages(directory)
    forget(cache)
    never_a_wrong_byte(stored, MIXED)
    if damage in {bit_flip, zero_tail} and file != "index":
        assert cache.statistics().damaged > 0


def test_damage_is_named_by_layer_file_and_bytes(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    flip(MIXED.directory(root) / "1", MIB + 17)
    drop_pages(MIXED.directory(root))
    first = MIXED.grid.segments[1].range.start
    with pytest.raises(Damaged) as caught:
        found(cache).read(ByteRange(first + MIB, first + MIB + 1))
    assert f"bytes [{first + MIB}, {first + 2 * MIB})" in caught.value.what
    assert caught.value.where == f"layer {MIXED.digest}, file 1"
    assert caught.value.exit_code == 13


def test_other_chunks_of_a_damaged_file_can_still_be_read(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    flip(MIXED.directory(root) / "1", MIB + 17)
    drop_pages(MIXED.directory(root))
    first = MIXED.grid.segments[1].range.start
    wanted = ByteRange(first, first + MIB)
    assert MIXED.is_right(wanted, found(cache).read(wanted))


def test_an_index_of_another_layer_is_not_believed(cache: Cache, root: Path) -> None:
    other = raw(len(MIXED.content), seed=2)
    other.publish(cache).close()
    other.directory(root).rename(MIXED.directory(root))
    assert cache.layer(MIXED.digest) is None
    assert not MIXED.directory(root).exists()


def test_an_index_with_another_grid_is_read_as_it_says(cache: Cache) -> None:
    one_piece = Material(MIXED.content, None)
    one_piece.publish(cache).close()
    stored = found(cache)
    assert stored.index.table is None
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))


def test_an_index_of_another_version_is_absence(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    path = MIXED.directory(root) / "index"
    path.write_bytes(path.read_bytes().replace(b"index 1\n", b"index 2\n"))
    assert cache.layer(MIXED.digest) is None


def test_eight_readers_of_one_chunk_read_it_once_from_the_disk(cache: Cache) -> None:
    material = raw(MIB)
    material.publish(cache).close()
    stored = found(cache, material)
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda wanted=wanted: got.append(bytes(stored.read(wanted))))
        for wanted in material.whole.pieces(128 * KIB)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(material.part(wanted) for wanted in material.whole.pieces(128 * KIB))
    assert cache.statistics().hashed_chunks == 1


def test_a_dropped_layer_is_absent_and_its_open_files_can_be_read_on(cache: Cache, root: Path) -> None:
    stored = MIXED.publish(cache)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    cache.drop(MIXED.digest)
    cache.drop(MIXED.digest)
    assert cache.layer(MIXED.digest) is None
    assert names(root / "staging") == []
    forget(cache)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))


def test_dropping_a_damaged_copy_spares_a_newer_one(cache: Cache) -> None:
    old = MIXED.publish(cache)
    cache.drop(MIXED.digest, old)
    MIXED.publish(cache)
    cache.drop(MIXED.digest, old)
    assert cache.layer(MIXED.digest) is not None


def test_a_file_that_was_not_open_when_the_layer_went_is_reported(cache: Cache) -> None:
    MIXED.publish(cache).close()
    stored = found(cache)
    cache.drop(MIXED.digest)
    with pytest.raises(Damaged, match="No such file"):
        stored.read(MIXED.whole)


def test_a_file_that_changed_its_size_before_it_was_open_is_not_believed(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    stored = found(cache)
    longer(MIXED.directory(root) / "rest")
    with pytest.raises(Damaged, match="of a wrong size"):
        stored.read(ByteRange(0, 10))


def test_reads_fit_disks_with_large_blocks(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    assert cache.abilities.direct
    MIXED.publish(cache).close()
    stored = found(cache)
    for wanted in samples(MIXED):
        assert MIXED.is_right(wanted, stored.read(wanted))
    assert cache.statistics().hashed_chunks == MIXED.grid.count


def test_a_closed_layer_says_so(cache: Cache) -> None:
    stored = MIXED.publish(cache)
    stored.read(MIXED.whole)
    stored.close()
    stored.close()
    forget(cache)
    assert stored.read_now(ByteRange(0, 10)) is None
    with pytest.raises(CacheUnusable, match="closed"):
        stored.read(ByteRange(0, 10))


def test_being_short_of_descriptors_condemns_no_layer(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    MIXED.publish(cache).close()
    stored = found(cache)

    def no_more(*_arguments: object, **_keywords: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_more)
        with pytest.raises(CacheUnusable, match="Too many open files"):
            stored.read(MIXED.whole)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert cache.statistics().damaged == 0


@pytest.mark.logs("cannot read layer")
def test_a_failing_disk_is_absence_and_leaves_the_layer_alone(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MIXED.publish(cache).close()

    def fails(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fails)
        assert cache.layer(MIXED.digest) is None
    assert cache.layer(MIXED.digest) is not None


def test_the_index_survives_its_way_to_the_disk(cache: Cache, root: Path) -> None:
    stored = MIXED.publish(cache)
    again = ChunkIndex.decode((MIXED.directory(root) / "index").read_bytes())
    assert (again.grid, again.digests, again.table) == (stored.index.grid, stored.index.digests, stored.index.table)
