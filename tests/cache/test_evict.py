"""Bounds: kept by whoever exceeds them, at the cost of what was used longest ago and is read by nobody."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mkfs.cache import evict
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged
from mkfs.errors import CacheUnusable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.proven import prove
from mkfs.units import KIB, MIB
from tests.cache.conftest import Mount
from tests.cache.material import MIXED, Material, names, raw
from tests.cache.workers import Start

OVERHEAD = 256 * KIB  # directories, indexes, locks and unfilled blocks of the few layers here


def bounded(root: Path, size_limit_bytes: int) -> Cache:
    return Cache.open(root, min_free_ratio=0, size_limit_bytes=size_limit_bytes)


def occupied(root: Path) -> int:
    return int(subprocess.run(["du", "-s", "--block-size=1", root], check=True, stdout=subprocess.PIPE).stdout.split()[0])


def old(material: Material, root: Path, seconds: int, kind: str = "layers") -> None:
    """Sets when it was used back."""
    place = material.directory(root, kind)
    used = place.stat().st_mtime - seconds
    os.utime(place, (used, used))


def layers(count: int, size_bytes: int = MIB) -> list[Material]:
    return [raw(size_bytes, seed) for seed in range(count)]


def is_there(cache: Cache, material: Material) -> bool:
    found = cache.layer(material.digest)
    if found is not None:
        found.close()
    return found is not None


def test_what_was_read_longest_ago_goes_first_and_no_more_than_must(root: Path) -> None:
    cache = bounded(root, 3 * MIB + OVERHEAD)
    first, second, third, new = layers(4)
    for age, each in ((30, second), (90, first), (60, third)):
        each.publish(cache).close()
        old(each, root, age)
    new.publish(cache).close()
    assert [is_there(cache, each) for each in (first, second, third, new)] == [False, True, True, True]
    assert occupied(root) <= 3 * MIB + OVERHEAD
    assert cache.statistics().evicted == 1


def test_reading_a_layer_makes_it_the_last_to_go(root: Path) -> None:
    cache = bounded(root, 2 * MIB + OVERHEAD)
    first, second, new = layers(3)
    for age, each in ((90, first), (60, second)):
        each.publish(cache).close()
        old(each, root, age)
    stored = cache.layer(first.digest)
    assert stored is not None
    stored.read(first.whole)
    stored.close()
    new.publish(cache).close()
    assert [is_there(cache, each) for each in (first, second, new)] == [True, False, True]


def test_looking_a_layer_up_is_no_use_of_it(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    old(MIXED, root, 1000)
    before = MIXED.directory(root).stat().st_mtime_ns
    assert is_there(cache, MIXED)
    assert MIXED.directory(root).stat().st_mtime_ns == before


def test_what_was_answered_from_memory_only_counts_when_the_layer_is_closed(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    stored = MIXED.publish(cache)
    stored.read(MIXED.whole)
    old(MIXED, disk, 1000)
    before = MIXED.directory(disk).stat().st_mtime_ns
    assert stored.read_now(MIXED.grid.chunk_range(0)) is not None
    assert MIXED.directory(disk).stat().st_mtime_ns == before
    stored.close()
    assert MIXED.directory(disk).stat().st_mtime_ns > before


def test_a_layer_that_is_open_stays_and_the_next_one_goes(root: Path) -> None:
    cache = bounded(root, 2 * MIB + OVERHEAD)
    first, second, new = layers(3)
    held = first.publish(cache)
    second.publish(cache).close()
    old(first, root, 1000)
    new.publish(cache).close()
    assert [is_there(cache, each) for each in (first, second, new)] == [True, False, True]
    assert first.is_right(first.whole, held.read(first.whole))


def test_what_another_process_reads_stays_until_it_ends(root: Path, start: Start) -> None:
    cache = bounded(root, 5 * MIB)
    MIXED.publish(cache).close()
    worker = start()
    assert worker.ask("hold") == "held"
    large = raw(4 * MIB)
    with pytest.raises(CacheUnusable, match=r"4\.0 MiB needed, 3\.\d MiB of 5\.0 MiB used, and what is in use cannot go"):
        large.publish(cache)
    assert names(root / "staging") == []
    assert worker.ask("held_is") == "right"
    worker.kill()
    large.publish(cache).close()
    assert not is_there(cache, MIXED)


def test_a_partial_layer_is_pinned_and_evicted_like_a_whole_one(root: Path, start: Start) -> None:
    cache = bounded(root, 5 * MIB)
    worker = start()
    assert (worker.ask("open"), worker.ask(f"put {' '.join(map(str, range(MIXED.grid.count)))}")) == ("opened", "stored")
    large = raw(4 * MIB)
    with pytest.raises(CacheUnusable, match="no room"):
        large.publish(cache)
    assert worker.ask("chunks") == "right"
    worker.kill()
    large.publish(cache).close()
    assert not MIXED.directory(root, "partial").exists()


def test_chunks_make_room_for_themselves(root: Path) -> None:
    cache = bounded(root, 5 * MIB)
    old_layer = raw(4 * MIB)
    old_layer.publish(cache).close()
    partial = cache.partial(MIXED.index)
    for number in range(MIXED.grid.count):
        partial.put(number, MIXED.chunk(number))
        assert occupied(root) <= 5 * MIB
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    assert not is_there(cache, old_layer)


def test_a_chunk_that_finds_no_room_is_refused_without_counting_everything_again(root: Path, monkeypatch) -> None:
    cache = bounded(root, 2 * MIB)
    partial = cache.partial(MIXED.index)
    refused, walks, walk = 0, [], evict.survey

    def counted(layout):
        walks.append(1)
        return walk(layout)

    monkeypatch.setattr(evict, "survey", counted)
    monkeypatch.setattr(evict, "_REFUSAL_SECONDS", 1e6)
    numbers = [number for number in range(MIXED.grid.count) if len(MIXED.chunk(number)) == MIB]
    for number in [*numbers, *numbers]:
        try:
            partial.put(number, MIXED.chunk(number))
        except CacheUnusable as error:
            refused += 1
            assert "2.0 MiB used" in error.what  # noqa: PT017 - every refusal says why
    assert refused >= 2
    assert len(walks) <= len(numbers)
    assert occupied(root) <= 2 * MIB


def test_a_file_that_is_open_can_be_read_on_after_its_layer_was_evicted(root: Path) -> None:
    cache = bounded(root, 5 * MIB)
    MIXED.publish(cache).close()
    with (MIXED.directory(root) / "1").open("rb") as file:  # somebody who was handed the file, and pins nothing
        raw(4 * MIB).publish(cache).close()
        assert not is_there(cache, MIXED)
        assert len(file.read()) == os.fstat(file.fileno()).st_size > 2 * MIB


def test_a_reader_whose_layer_went_after_all_gets_an_error_and_no_wrong_byte(cache: Cache) -> None:
    stored = MIXED.publish(cache)
    cache._shared.hot.clear()
    cache.drop(MIXED.digest)
    try:
        assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    except Damaged as error:
        assert "No such file" in error.what  # noqa: PT017 - either outcome is allowed


def test_what_cannot_fit_at_all_evicts_nothing(root: Path) -> None:
    cache = bounded(root, 5 * MIB)
    MIXED.publish(cache).close()
    with pytest.raises(CacheUnusable, match=r"8\.0 MiB needed"):
        raw(8 * MIB).publish(cache)
    assert is_there(cache, MIXED)
    assert cache.statistics().evicted == 0


def test_documents_and_indexes_outlive_the_bytes_and_go_last(root: Path) -> None:
    cache = bounded(root, 5 * MIB)
    MIXED.publish(cache).close()
    blob = Descriptor("application/json", Digest.of(b"{}"), 2)
    cache.keep_document(prove(blob, b"{}"))
    held = raw(4 * MIB).publish(cache)
    assert not is_there(cache, MIXED)
    assert cache.index(MIXED.digest) is not None
    assert cache.document(blob) is not None
    tight = bounded(root, occupied(root) + 2)  # lacks one block for a file of two bytes
    old(MIXED, root, 1000, "indexes")
    tight.keep_document(prove(Descriptor("", Digest.of(b"[]"), 2), b"[]"))
    assert cache.document(blob) is None
    assert cache.index(MIXED.digest) is not None
    held.close()


@pytest.mark.parametrize("limit", ["ratio", "bytes", "size"])
def test_on_a_small_disk_each_limit_is_kept(mounted: Mount, limit: str) -> None:
    root = mounted("tmpfs", "size=16m,mode=0700")
    match limit:
        case "ratio":
            cache = Cache.open(root, min_free_ratio=0.25)
        case "bytes":
            cache = Cache.open(root, min_free_ratio=0, min_free_bytes=4 * MIB)
        case "size":
            cache = Cache.open(root, min_free_ratio=0, size_limit_bytes=12 * MIB)
    for each in layers(20):
        each.publish(cache).close()
        status = os.statvfs(root)
        assert status.f_bavail * status.f_frsize >= 4 * MIB
        assert is_there(cache, each)
    assert 0 < cache.statistics().evicted < 20


def test_inodes_are_kept_free_as_well(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=64m,nr_inodes=60,mode=0700")
    cache = Cache.open(root, min_free_ratio=0.2)
    for each in layers(20, 10_000):
        each.publish(cache).close()
        assert os.statvfs(root).f_favail >= 12 - 1  # its index came after the room was asked for, if at all
        assert is_there(cache, each)


def test_a_disk_that_others_filled_is_met_before_the_first_byte(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=16m,mode=0700")
    cache = Cache.open(root / "cache", min_free_ratio=0)
    MIXED.publish(cache).close()
    (root / "others").write_bytes(bytes(11 * MIB))
    new = raw(3 * MIB)
    new.publish(cache).close()  # evicts
    assert not is_there(cache, MIXED)
    (root / "more").write_bytes(bytes(MIB))
    with pytest.raises(CacheUnusable, match="no room"):
        raw(6 * MIB).publish(cache)
    assert is_there(cache, new)


def test_two_processes_that_evict_at_once_stay_within_the_limit_and_read_right(root: Path, start: Start) -> None:
    limit = 4 * MIB + OVERHEAD
    workers = [start(limit) for _ in range(2)]
    workers[0].tell(f"add {','.join(map(str, range(40)))} {MIB}")
    workers[1].tell(f"add {','.join(map(str, range(20, 60)))} {MIB}")
    assert [worker.heard() for worker in workers] == ["40", "40"]
    assert occupied(root) <= limit
    assert names(root / "staging") == []


def test_an_evictor_that_was_stopped_with_a_layer_in_its_hand_hinders_nobody_for_long(cache: Cache, root: Path) -> None:
    MIXED.publish(cache).close()
    program = "import fcntl, os, signal, sys; fd = os.open(sys.argv[1], 0); fcntl.flock(fd, fcntl.LOCK_EX); print(flush=True)"
    stop_itself = "os.kill(os.getpid(), signal.SIGSTOP)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; {stop_itself}", MIXED.directory(root)], stdout=subprocess.PIPE
    ) as evictor:
        try:
            assert evictor.stdout is not None
            evictor.stdout.readline()
            assert cache.layer(MIXED.digest) is None
            assert MIXED.is_right(MIXED.whole, MIXED.publish(cache).read(MIXED.whole))
        finally:
            evictor.kill()


def test_who_reserves_waits_for_another_who_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = bounded(root, 8 * MIB)._shared.room, bounded(root, 8 * MIB)._shared.room
    met, order = threading.Event(), list[str]()

    def second() -> None:
        with other.reserving(MIB, 1, "there"):
            order.append("second")
        met.set()  # for a second one that did not wait

    monkeypatch.setattr(evict, "_LOCK_TRIES", 10**9)
    monkeypatch.setattr(evict.time, "sleep", lambda _seconds: met.set())
    thread = threading.Thread(target=second)
    with one.reserving(MIB, 1, "here"):
        thread.start()
        met.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_process_that_was_stopped_while_it_made_room_hinders_nobody_for_long(root: Path, monkeypatch) -> None:
    cache = bounded(root, 8 * MIB)
    monkeypatch.setattr(evict, "_LOCK_PAUSE_SECONDS", 0)
    with cache._shared.room.reserving(MIB, 1, "here"):  # the lock is held, as by another process
        MIXED.publish(cache).close()
    assert is_there(cache, MIXED)
