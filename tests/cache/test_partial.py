"""A layer stored chunk by chunk: right bytes, or an error that says what is missing; never a hole's zeros, never a wrong byte."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from mkfs.cache.files import OpenFile
from mkfs.cache.ledger import Ledger
from mkfs.cache.partial import Missing, PartialLayer, remove_partial
from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable, IntegrityError, Mismatch
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.cache.material import MIXED, names, raw, samples
from tests.cache.partials import ALL, SECOND, fill, forget, place
from tests.cache.workers import Start


def test_chunks_put_one_by_one_are_read_as_the_layer(cache: Cache, root: Path) -> None:
    partial = cache.partial(MIXED.index)
    for number in reversed(ALL):
        assert not partial.has(number)
        fill(partial, number)
        assert partial.has(number)
    assert partial.missing(ALL) == []
    again = cache.partial(MIXED.index)
    for layer in (partial, again):
        for wanted in samples(MIXED):
            assert MIXED.is_right(wanted, layer.read(wanted))
            now = layer.read_now(wanted)
            assert now is None or MIXED.is_right(wanted, now)
    assert names(place(root)) == ["1", "2", "ledger", "rest"]
    assert names(root / "staging") == []
    assert (cache.statistics().stored_chunks, cache.statistics().stored_bytes) == (len(ALL), len(MIXED.content))


def test_what_was_never_stored_is_missing_by_number_and_never_zeros(cache: Cache, root: Path) -> None:
    partial = fill(cache.partial(MIXED.index), 0, 2, 7)
    with pytest.raises(Missing) as caught:
        partial.read(MIXED.whole)
    assert caught.value.numbers == (1, 3, 4, 5, 6)
    assert (caught.value.what, caught.value.where) == ("5 chunks are not in the cache", f"layer {MIXED.index.layer}")
    assert partial.read_now(MIXED.whole) is None
    for number in ALL:
        wanted = MIXED.grid.chunk_range(number)
        if number in {0, 2, 7}:
            assert MIXED.is_right(wanted, partial.read(wanted))
        else:
            assert partial.read_now(wanted) is None
            with pytest.raises(Missing):
                partial.read(wanted)
    assert (place(root) / "1").stat().st_size == MIXED.grid.file_sizes[1]
    assert (place(root) / "2").stat().st_blocks == 0


def test_wrong_bytes_are_refused_before_anything_is_written(cache: Cache, root: Path) -> None:
    partial = cache.partial(MIXED.index)
    for data in (MIXED.chunk(5), MIXED.chunk(2)[:-1], bytes(MIB)):
        with pytest.raises(Mismatch):
            partial.put(2, data)
    assert not partial.has(2)
    assert (place(root) / "1").stat().st_blocks == 0


def test_a_chunk_received_by_us_answers_at_once_and_without_the_disk(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    partial = fill(cache.partial(MIXED.index), 1, 2)
    wanted = ByteRange(SECOND.start - 128 * KIB, SECOND.start + 128 * KIB)
    assert MIXED.is_right(wanted, partial.read_now(wanted))
    assert cache.statistics().hashed_chunks == 0


def test_a_chunk_that_fills_no_whole_pages_answers_at_once_from_private_memory(disk: Path) -> None:
    cache = Cache.open(disk, min_free_ratio=0)
    partial = fill(cache.partial(MIXED.index), 3)
    wanted = MIXED.grid.chunk_range(3)
    assert MIXED.is_right(wanted, partial.read_now(wanted))
    forget(cache)
    assert partial.read_now(wanted) is None
    assert MIXED.is_right(wanted, partial.read(wanted))


def test_pieces_of_two_processes_make_one_layer(root: Path, start: Start, cache: Cache) -> None:
    one, two = start(), start()
    assert (one.ask("open"), two.ask("open")) == ("opened", "opened")
    for worker, words in ((one, "put 0 1 2 3 4"), (two, "put 3 4 5 6")):
        worker.tell(words)
    assert (one.heard(), two.heard()) == ("stored", "stored")
    assert [worker.ask("chunks") for worker in (one, two)] == ["missing 7", "missing 7"]
    assert fill(cache.partial(MIXED.index), 7).missing(ALL) == []
    assert [worker.ask("chunks") for worker in (one, two)] == ["right", "right"]
    assert MIXED.is_right(MIXED.whole, cache.partial(MIXED.index).read(MIXED.whole))


def test_what_one_process_finds_damaged_is_missing_for_the_others_too(root: Path, start: Start, cache: Cache) -> None:
    worker = start()
    assert worker.ask("open") == "opened"
    fill(cache.partial(MIXED.index)).mark_missing(5)
    assert (worker.ask("has 5"), worker.ask("chunks")) == ("False", "missing 5")


def test_processes_that_open_the_same_new_layer_at_once_have_the_same(root: Path, start: Start, cache: Cache) -> None:
    workers = [start() for _ in range(3)]
    for worker in workers:
        worker.tell("open")
    assert [worker.heard() for worker in workers] == ["opened"] * 3
    assert workers[0].ask("put 5") == "stored"
    assert [worker.ask("has 5") for worker in workers] == ["True"] * 3
    assert names(root / "staging") == []


def test_a_stopped_process_that_stores_its_chunk_late_does_no_harm(start: Start, cache: Cache) -> None:
    worker = start()
    assert (worker.ask("open"), worker.ask("lock_chunk 2")) == ("opened", "True")
    worker.stop()
    worker.tell("put 2")
    partial = fill(cache.partial(MIXED.index))
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    worker.go_on()
    assert (worker.heard(), worker.ask("chunks")) == ("stored", "right")
    forget(cache)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_a_process_killed_while_it_stores_leaves_what_can_be_read_or_is_missing(root: Path, start: Start, cache: Cache) -> None:
    for _ in range(3):
        worker = start()
        assert worker.ask("open") == "opened"
        worker.tell(f"put {' '.join(map(str, ALL))}")
        worker.kill()
        partial = cache.partial(MIXED.index)
        for number in ALL:
            wanted = MIXED.grid.chunk_range(number)
            if partial.has(number):
                assert MIXED.is_right(wanted, partial.read(wanted))


def test_who_reads_pins_and_who_closed_does_not(cache: Cache, root: Path) -> None:
    def is_pinned() -> bool:
        directory = OpenFile(os.open(place(root), os.O_RDONLY))
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    made, found = cache.partial(MIXED.index), cache.partial(MIXED.index)
    assert is_pinned()
    made.close()
    assert is_pinned()
    found.close()
    assert not is_pinned()


def test_what_somebody_is_about_to_remove_is_made_anew(cache: Cache, root: Path) -> None:
    fill(cache.partial(MIXED.index)).close()
    going = OpenFile(os.open(place(root), os.O_RDONLY))
    fcntl.flock(going.fd, fcntl.LOCK_EX)
    partial = cache.partial(MIXED.index)
    assert not os.path.samestat(partial.identity, os.fstat(going.fd))
    assert partial.missing(ALL) == list(ALL)


def test_publishing_the_whole_layer_removes_the_chunks_unless_somebody_reads_them(cache: Cache, root: Path) -> None:
    partial = fill(cache.partial(MIXED.index))
    MIXED.publish(cache)
    assert place(root).exists()
    partial.close()
    cache.drop(MIXED.digest)
    MIXED.publish(cache)
    assert not place(root).exists()


def test_a_removed_layer_can_be_read_on_where_its_files_are_open(cache: Cache, root: Path) -> None:
    partial = fill(cache.partial(MIXED.index))
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))
    place(root).rename(root / "staging" / "x.gone")
    Cache.open(root, min_free_ratio=0).close()
    forget(cache)
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_a_closed_layer_says_so(cache: Cache) -> None:
    partial = fill(cache.partial(MIXED.index), 1, 2)
    partial.close()
    partial.close()
    forget(cache)
    assert partial.read_now(SECOND) is None
    with pytest.raises(CacheUnusable, match="closed"):
        partial.read(SECOND)
    with pytest.raises(CacheUnusable, match="closed"):
        fill(partial, 5)


def test_an_empty_layer_has_nothing_to_put(cache: Cache) -> None:
    material = raw(0)
    assert cache.partial(material.index).read(ByteRange(0, 0)) == b""


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (errno.ENOSPC, "no room in the cache: 0 B needed (No space left on device)"),
        (errno.EIO, "the cache cannot be written: Input/output error"),
    ],
)
def test_a_disk_that_does_not_let_a_layer_be_made_is_an_error_that_names_it(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, what: str
) -> None:
    def fails(*_arguments: object, **_keywords: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("mkfs.cache.partial.make_hole", fails)
        with pytest.raises(CacheUnusable) as caught:
            cache.partial(MIXED.index)
    assert (caught.value.what, caught.value.where) == (what, f"layer {MIXED.index.layer} in {root}")
    assert names(root / "staging") == []
    assert cache.partial(MIXED.index).missing(ALL) == list(ALL)


def test_who_never_gets_to_make_the_layer_says_so(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    monkeypatch.setattr(PartialLayer, "_make", lambda *arguments: tries.append(arguments))
    with pytest.raises(CacheUnusable, match="somebody keeps removing what we make") as caught:
        cache.partial(MIXED.index)
    assert caught.value.where == f"layer {MIXED.index.layer} in {root}"
    assert len(tries) == 5


def test_what_somebody_put_in_the_place_of_a_damaged_one_meanwhile_stays(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache.partial(MIXED.index)).close()
    real = Ledger.open

    def replaced(*_arguments: object) -> Ledger:
        monkeypatch.setattr(Ledger, "open", real)
        shutil.copytree(place(root), root / "staging" / "theirs")
        place(root).rename(root / "staging" / "x.gone")
        (root / "staging" / "theirs").rename(place(root))
        raise IntegrityError("ledger is damaged, or of another chunk index")

    monkeypatch.setattr(Ledger, "open", replaced)
    partial = cache.partial(MIXED.index)
    assert partial.missing(ALL) == []
    assert MIXED.is_right(MIXED.whole, partial.read(MIXED.whole))


def test_who_removes_a_layer_leaves_what_somebody_put_in_its_place_meanwhile(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache.partial(MIXED.index)).close()

    def replaced(_directory: OpenFile) -> bool:
        shutil.copytree(place(root), root / "staging" / "theirs")
        place(root).rename(root / "staging" / "x.gone")
        (root / "staging" / "theirs").rename(place(root))
        return True

    with monkeypatch.context() as patch:
        patch.setattr("mkfs.cache.partial.grip", replaced)
        remove_partial(cache._shared, MIXED.index)
    assert cache.partial(MIXED.index).missing(ALL) == []


@pytest.mark.parametrize("points_somewhere", [True, False])
def test_a_link_in_its_place_is_removed_and_what_it_points_to_is_not(cache: Cache, root: Path, *, points_somewhere: bool) -> None:
    fill(cache.partial(MIXED.index)).close()
    elsewhere = place(root).rename(root.parent / "elsewhere")
    if not points_somewhere:
        elsewhere = elsewhere.rename(root.parent / "nowhere")
    place(root).symlink_to(root.parent / "elsewhere")
    assert cache.partial(MIXED.index).missing(ALL) == list(ALL)
    assert names(place(root)) == names(elsewhere) == ["1", "2", "ledger", "rest"]
    assert not place(root).is_symlink()
