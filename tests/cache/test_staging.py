"""Staging: what is on its way in is private, whole when it appears, and leaves nothing behind when it does not."""

import os
import random
import threading
from pathlib import Path

import pytest

from mkfs.cache import staging as staging_module
from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.material import MIXED, Material, archive, drop_pages, flip, names, open_descriptors, raw


def write_all(staging: staging_module.Staging, material: Material) -> None:
    staging.write(0, material.content)


def open_for_writing(below: Path) -> list[str]:
    """Files below a directory that this process could write through an open descriptor."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target, info = os.readlink(f"/proc/self/fd/{number}"), Path(f"/proc/self/fdinfo/{number}").read_text()
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        flags = int(info.split("flags:")[1].split()[0], 8)
        if target.startswith(str(below)) and flags & os.O_ACCMODE != os.O_RDONLY:
            found.append(target)
    return found


def test_nothing_is_readable_before_it_is_published_and_then_all_of_it(cache: Cache, root: Path) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    write_all(staging, MIXED)
    assert cache.layer(MIXED.digest) is None
    stored = staging.publish(MIXED.index)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert names(root / "staging") == []
    assert names(MIXED.directory(root)) == ["1", "2", "index", "rest"]
    other = cache.layer(MIXED.digest)
    assert other is not None
    assert MIXED.is_right(MIXED.whole, other.read(MIXED.whole))
    assert other.index.table == MIXED.table


def test_large_members_are_files_of_their_own_from_their_first_byte_on(cache: Cache, root: Path) -> None:
    MIXED.publish(cache)
    assert MIXED.table is not None
    large = [entry for entry in MIXED.table if entry.size_bytes >= MIB]
    for number, entry in enumerate(large, start=1):
        stored = (MIXED.directory(root) / str(number)).read_bytes()
        assert stored[: entry.size_bytes] == MIXED.part(ByteRange(entry.content_offset, entry.content_offset + entry.size_bytes))


def test_pieces_may_come_in_any_order_and_from_many_threads(cache: Cache) -> None:
    pieces = list(MIXED.whole.pieces(10_007))
    random.Random(7).shuffle(pieces)
    staging = cache.stage(MIXED.blob, MIXED.grid)

    def writer(mine: list[ByteRange]) -> None:
        for piece in mine:
            staging.write(piece.start, memoryview(MIXED.part(piece)))

    threads = [threading.Thread(target=writer, args=(pieces[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert MIXED.is_right(MIXED.whole, staging.publish(MIXED.index).read(MIXED.whole))


def test_a_buffer_can_be_reused_as_soon_as_it_is_written_even_if_writing_failed(cache: Cache, monkeypatch) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    buffer = bytearray(MIXED.content)
    with memoryview(buffer) as view:
        staging.write(0, view)

    def fails(*_arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fails)
    with pytest.raises(CacheUnusable) as caught, memoryview(buffer) as view:
        staging.write(0, view)
    buffer.clear()  # refused while anybody holds a view
    assert caught.tb is not None  # not even the frames of a kept error do


def test_an_empty_layer_is_a_layer(cache: Cache) -> None:
    empty = raw(0)
    stored = empty.publish(cache)
    assert bytes(stored.read(empty.whole)) == b""
    assert cache.layer(empty.digest) is not None


def test_bytes_outside_the_layer_are_refused(cache: Cache) -> None:
    small = raw(1000)
    staging = cache.stage(small.blob, small.grid)
    with pytest.raises(ValueError, match="leave the layer"):
        staging.write(900, bytes(101))
    with pytest.raises(ValueError, match="not a range"):
        staging.write(-1, bytes(10))


def test_a_layer_with_a_hole_is_not_published(cache: Cache) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    staging.write(0, MIXED.content[:1_000_000])
    staging.write(1_000_001, MIXED.content[1_000_001:])
    with pytest.raises(ValueError, match="missing"):
        staging.publish(MIXED.index)
    staging.write(1_000_000, MIXED.content[1_000_000:1_000_001])
    assert MIXED.is_right(MIXED.whole, staging.publish(MIXED.index).read(MIXED.whole))


def test_an_index_of_another_layer_or_grid_is_refused(cache: Cache) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    write_all(staging, MIXED)
    own = MIXED.index
    stranger = ChunkIndex(Digest.of(b"other"), own.grid, own.digests, own.table)
    with pytest.raises(ValueError, match="not that of this staging"):
        staging.publish(stranger)
    with pytest.raises(ValueError, match="not that of this staging"):
        staging.publish(Material(MIXED.content, None).index)
    staging.discard()


def test_who_comes_late_is_refused_and_changes_nothing(cache: Cache, root: Path) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    write_all(staging, MIXED)
    stored = staging.publish(MIXED.index)
    with pytest.raises(ValueError, match="has ended"):
        staging.write(0, b"late")
    with pytest.raises(ValueError, match="has ended"):
        staging.publish(MIXED.index)
    staging.discard()
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert open_for_writing(root) == []


def test_publishing_waits_for_a_write_under_way(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    material = raw(2000)
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content)
    begun, go_on, events = threading.Event(), threading.Event(), list[str]()

    class Idle(threading.Condition):
        def wait_for(self, predicate, timeout=None):
            go_on.set()
            return super().wait_for(predicate, timeout)

    def slow(file, data, offset):
        begun.set()
        go_on.wait()
        events.append("written")

    staging._idle = Idle()
    with monkeypatch.context() as patch:
        patch.setattr(staging_module, "write_at", slow)
        writer = threading.Thread(target=staging.write, args=(0, material.content))
        writer.start()
        begun.wait()
    staging.publish(material.index)
    events.append("published")
    go_on.set()  # for a publish that does not wait
    writer.join()
    assert events == ["written", "published"]


def test_bytes_that_were_written_twice_are_hashed_before_anybody_gets_them(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    material = raw(3 * MIB)
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content)
    staging.write(MIB + 5, b"wrong bytes of a fetch that was given up")
    stored = staging.publish(material.index)
    assert stored.read(ByteRange(0, 10)) == material.content[:10]
    assert stored.read_now(ByteRange(MIB, MIB + 100)) is None
    with pytest.raises(Exception, match="damaged at bytes"):
        stored.read(ByteRange(MIB, MIB + 100))
    assert stored.read_now(ByteRange(2 * MIB, 2 * MIB + 100)) == material.content[2 * MIB : 2 * MIB + 100]


def test_what_is_discarded_is_gone(cache: Cache, root: Path) -> None:
    staging = cache.stage(MIXED.blob, MIXED.grid)
    staging.write(0, MIXED.content[:100_000])
    staging.discard()
    staging.discard()
    assert names(root / "staging") == []
    with pytest.raises(ValueError, match="has ended"):
        staging.write(0, b"late")


def test_the_second_of_two_publishers_takes_what_the_first_published(cache: Cache, root: Path) -> None:
    first, second = cache.stage(MIXED.blob, MIXED.grid), cache.stage(MIXED.blob, MIXED.grid)
    write_all(first, MIXED)
    write_all(second, MIXED)
    one, two = first.publish(MIXED.index), second.publish(MIXED.index)
    assert os.path.samestat(one.identity, two.identity)
    assert MIXED.is_right(MIXED.whole, two.read(MIXED.whole))
    assert names(root / "staging") == []
    assert cache.statistics().published == 1


def test_garbage_in_the_place_of_a_layer_makes_way_for_it(cache: Cache, root: Path) -> None:
    for number in range(3):
        place = MIXED.directory(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if number == 0:
            place.write_bytes(b"a file")
        elif number == 1:
            place.symlink_to(root)
        else:
            (place / "deep" / "down").mkdir(parents=True)
        stored = MIXED.publish(cache)
        assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
        cache.drop(MIXED.digest)
    assert (root / "version").exists()
    assert names(root / "staging") == []


def test_a_published_layer_that_turned_to_garbage_meanwhile_makes_way(cache: Cache, root: Path) -> None:
    MIXED.publish(cache)
    flip(MIXED.directory(root) / "index", 70)
    drop_pages(MIXED.directory(root))
    stored = MIXED.publish(cache)
    assert cache.statistics().published == 2
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))


def test_room_is_reserved_before_the_first_byte(cache: Cache, root: Path) -> None:
    material = archive(3 * MIB, 10, 2 * MIB)
    staging = cache.stage(material.blob, material.grid)
    files = [path for path in (root / "staging").rglob("*") if path.is_file() and path.name != "ledger"]
    assert sum(path.stat().st_size for path in files) == len(material.content)
    assert sum(path.stat().st_blocks * 512 for path in files) >= len(material.content)
    staging.discard()


def test_what_should_stay_free_stays_free(root: Path) -> None:
    cache = Cache.open(root, min_free_ratio=0.999)
    with pytest.raises(CacheUnusable, match=r"no room in the cache: 3\.6 MiB needed, .* free, of which .* stay free"):
        cache.stage(MIXED.blob, MIXED.grid)
    assert names(root / "staging") == []
    with pytest.raises(ValueError, match="not a share"):
        Cache.open(root, min_free_ratio=10)


def test_what_a_killed_process_was_dropping_goes_at_the_next_start_though_others_read_it(cache: Cache, root: Path) -> None:
    stored = MIXED.publish(cache)
    stored.read(MIXED.whole)
    MIXED.directory(root).rename(root / "staging" / "grave.gone")
    Cache.open(root, min_free_ratio=0).close()
    assert names(root / "staging") == []
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))


def test_many_large_members_need_no_descriptor_each(cache: Cache) -> None:
    material = archive(*[MIB] * 40)
    raw(10).publish(cache).close()  # from here on the cache has its own directories open
    before = open_descriptors()
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content)
    assert open_descriptors() - before < 4
    stored = staging.publish(material.index)
    assert material.is_right(material.whole, stored.read(material.whole))
    assert open_descriptors() - before < 2 * 32 + 4
    stored.close()
    cache._shared.behind.close()  # whose thread may have one in its hands
    del staging
    assert open_descriptors() == before
