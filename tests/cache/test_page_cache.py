"""The page cache: proven writes are answered from it, and nothing unhashed ever gets into it through us."""

import errno
import os
from pathlib import Path

import pytest

from mkfs.cache import abilities as abilities_module
from mkfs.cache.files import OpenFile
from mkfs.cache.page_cache import Outcome, PageCache, kernel_has_cachestat
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.cache.disks import residents, rot
from tests.cache.material import Material, drop_pages, raw

WEIGHTS = raw(4 * MIB + 100)
SECOND = ByteRange(MIB + 8 * KIB, MIB + 12 * KIB)  # within the second chunk, and pages of its own


def received(cache: Cache) -> StoredLayer:
    """WEIGHTS as a daemon has it that has just received it, with its file open."""
    staging = cache.stage(WEIGHTS.blob, WEIGHTS.grid)
    staging.write(0, WEIGHTS.content)
    stored = staging.publish(WEIGHTS.index)
    stored.read(ByteRange(0, 1))
    return stored


def file_of(root: Path, material: Material = WEIGHTS) -> Path:
    return material.directory(root) / "1"


def test_a_miss_brings_nothing_in(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    stored = received(cache)
    assert WEIGHTS.is_right(SECOND, stored.read_now(SECOND))
    drop_pages(WEIGHTS.directory(disk))
    for wanted in WEIGHTS.whole.pieces(128 * KIB):
        assert stored.read_now(wanted) is None
    assert residents(file_of(disk)) == 0


def test_a_read_from_the_disk_brings_nothing_in(disk: Path) -> None:
    received(Cache.open(disk, min_free_ratio=0))
    drop_pages(WEIGHTS.directory(disk))
    cache = Cache.open(disk, min_free_ratio=0)
    assert cache.abilities.direct
    stored = cache.layer(WEIGHTS.digest)
    assert stored is not None
    for wanted in WEIGHTS.whole.pieces(128 * KIB):
        assert WEIGHTS.is_right(wanted, stored.read(wanted))
    assert cache.statistics().hashed_chunks == WEIGHTS.grid.count
    assert residents(file_of(disk)) == 0


def test_a_bit_that_flips_behind_the_page_cache_is_not_seen_and_then_found(disk: Path, image: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    stored = received(cache)
    rot(image, file_of(disk), SECOND.start + 5)
    assert WEIGHTS.is_right(SECOND, stored.read_now(SECOND))  # memory has what was received
    drop_pages(WEIGHTS.directory(disk))
    assert stored.read_now(SECOND) is None
    with pytest.raises(Damaged):
        stored.read(SECOND)
    first = ByteRange(0, 4096)
    assert WEIGHTS.is_right(first, stored.read(first))


def test_rot_after_hashing_is_never_answered_however_often_it_is_asked_for(disk: Path, image: Path) -> None:
    """The trap: a miss that starts readahead would have the rotten page in memory for the next try."""
    cache = Cache.open(disk, min_free_ratio=0)
    stored = received(cache)
    drop_pages(WEIGHTS.directory(disk))
    assert WEIGHTS.is_right(SECOND, stored.read(SECOND))
    cache._shared.hot.clear()
    rot(image, file_of(disk), SECOND.start + 5)
    before = ByteRange(SECOND.start - 8 * KIB, SECOND.start)
    for _ in range(3):
        assert stored.read_now(before) is None
        assert stored.read_now(SECOND) is None
        os.sync()  # whatever read was started has had its time
    with pytest.raises(Damaged):
        stored.read(SECOND)


def test_what_one_daemon_finds_rotten_no_other_serves(disk: Path, image: Path) -> None:
    one, two = Cache.open(disk, min_free_ratio=0), Cache.open(disk, min_free_ratio=0)
    mine = received(one)
    drop_pages(WEIGHTS.directory(disk))
    theirs = two.layer(WEIGHTS.digest)
    assert theirs is not None
    assert WEIGHTS.is_right(SECOND, mine.read(SECOND))
    assert WEIGHTS.is_right(SECOND, theirs.read(SECOND))
    for cache in (one, two):
        cache._shared.hot.clear()
    rot(image, file_of(disk), SECOND.start + 5)
    with pytest.raises(Damaged):
        theirs.read(SECOND)
    assert mine.read_now(SECOND) is None
    with pytest.raises(Damaged):
        mine.read(SECOND)


def test_pages_that_go_between_asking_and_reading_bar_their_chunk_from_memory(disk: Path, monkeypatch) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    stored = received(cache)
    drop_pages(WEIGHTS.directory(disk))
    with monkeypatch.context() as patch:
        patch.setattr(PageCache, "count", lambda self, file, offset, length: -(-length // 4096))
        assert stored.read_now(SECOND) is None
    file_of(disk).read_bytes()  # by now the page cache holds everything, and nobody has hashed it
    assert stored.read_now(SECOND) is None
    assert WEIGHTS.is_right(SECOND, stored.read(SECOND))
    cache._shared.hot.clear()
    assert stored.read_now(SECOND) is None
    other = ByteRange(2 * MIB, 2 * MIB + 10)
    assert WEIGHTS.is_right(other, stored.read_now(other))


def test_a_miss_in_that_moment_reads_no_more_than_was_asked_for(disk: Path, monkeypatch) -> None:
    stored = received(Cache.open(disk, min_free_ratio=0))
    drop_pages(WEIGHTS.directory(disk))
    with monkeypatch.context() as patch:
        patch.setattr(PageCache, "count", lambda self, file, offset, length: -(-length // 4096))
        assert stored.read_now(ByteRange(0, 4096)) is None
    assert residents(file_of(disk)) <= 1


def test_a_chunk_that_was_found_damaged_is_never_taken_from_memory_again(disk: Path, image: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    stored = received(cache)
    drop_pages(WEIGHTS.directory(disk))
    rot(image, file_of(disk), SECOND.start + 5)
    with pytest.raises(Damaged):
        stored.read(SECOND)
    file_of(disk).read_bytes()  # a backup program brings the rotten pages in
    assert stored.read_now(SECOND) is None


def test_a_kernel_without_cachestat_answers_by_reading(disk: Path) -> None:
    path = disk.parent / "file"
    path.write_bytes(b"x" * 10_000)
    file, page_cache = OpenFile(os.open(path, os.O_RDONLY)), PageCache(cachestat=False)
    target = bytearray(5000)
    assert page_cache.read(file, memoryview(target), 0) is Outcome.FULL
    assert target == b"x" * 5000
    assert page_cache.read(file, memoryview(target), 6000) is Outcome.ABSENT  # short: the file ends
    assert not page_cache.is_empty(file, 10_000)


@pytest.mark.parametrize(
    ("release", "has"),
    [
        ("6.1.0-37-amd64", False),
        ("5.15.0", False),
        ("6.4.99", False),
        ("6.5.0", True),
        ("6.18.44-x", True),
        ("24.1", True),
        ("", True),
    ],
)
def test_which_kernels_are_asked(release: str, has: bool) -> None:
    assert kernel_has_cachestat(release) is has


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
def test_where_the_kernel_may_not_be_asked_every_answer_is_hashed(root: Path, monkeypatch, code: int) -> None:
    def refused(*_arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(PageCache, "count", refused)
    monkeypatch.setattr(abilities_module, "kernel_has_cachestat", lambda _release: True)
    cache = Cache.open(root, min_free_ratio=0)
    assert cache.abilities.page_cache is None
    stored = received(cache)
    assert stored.read_now(SECOND) is None
    assert WEIGHTS.is_right(SECOND, stored.read(SECOND))
    assert cache.statistics().hashed_chunks == 2


def test_where_files_cannot_be_opened_past_the_page_cache_every_answer_is_hashed(root: Path, monkeypatch) -> None:
    real_open = os.open

    def refuses_direct(path, flags, mode=0o777, *, dir_fd=None):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuses_direct)
    cache = Cache.open(root, min_free_ratio=0)
    assert not cache.abilities.direct
    assert cache.abilities.page_cache is None
    stored = received(cache)
    assert stored.read_now(SECOND) is None
    assert WEIGHTS.is_right(WEIGHTS.whole, stored.read(WEIGHTS.whole))
    assert cache.statistics().hashed_chunks == WEIGHTS.grid.count


def test_where_direct_reads_go_through_the_page_cache_it_is_not_believed(root: Path, monkeypatch) -> None:
    monkeypatch.setattr(PageCache, "is_empty", lambda self, file, length: False)
    cache = Cache.open(root, min_free_ratio=0)
    assert cache.abilities.page_cache is None


def test_a_file_system_too_full_to_be_tried_has_no_abilities(root: Path, monkeypatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    Cache.open(root).close()
    monkeypatch.setattr(os, "pwritev", full)
    cache = Cache.open(root)
    assert (cache.abilities.direct, cache.abilities.page_cache) == (False, None)
    assert os.listdir(root / "staging") == []
