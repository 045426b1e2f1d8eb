"""Locks between processes: one at a time fetches a chunk, the dead hold nothing, and nobody waits for the stopped."""

import errno
import fcntl
import os
from functools import partial
from pathlib import Path

import pytest

from mkfs.cache.locks import OVERTAKE_SECONDS, LayerLock, Overtaking
from mkfs.cache.store import Cache
from tests.cache.material import MIXED, names, raw
from tests.cache.workers import Start


def rank_after(waiting: Overtaking, progress: int, *looks: float) -> int:
    """Shows it the same progress at these times."""
    for now in looks:
        waiting.look(progress, now)
    return waiting.rank


def test_of_two_processes_one_has_the_chunk_until_it_lets_go(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert worker.ask("lock_chunk 5") == "True"
    assert not lock.try_chunk(5)
    assert worker.ask("release 5") == "released"
    assert lock.try_chunk(5)
    assert worker.ask("lock_chunk 5") == "False"
    lock.release_chunk(5)
    assert worker.ask("lock_chunk 5") == "True"


def test_other_chunks_and_the_whole_layer_are_locks_of_their_own(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert (worker.ask("lock_chunk 5"), worker.ask("lock_layer")) == ("True", "True")
    assert (lock.try_chunk(4), lock.try_chunk(6), lock.try_chunk(2**40)) == (True, True, True)
    assert not lock.try_layer()
    assert worker.ask("release 5") == "released"
    assert not lock.try_layer()
    assert cache.lock(raw(10).digest).try_layer()


def test_a_killed_process_holds_nothing(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert (worker.ask("lock_chunk 5"), worker.ask("lock_layer")) == ("True", "True")
    worker.kill()
    assert (lock.try_chunk(5), lock.try_layer()) == (True, True)


def test_a_stopped_process_holds_on_and_shows_no_progress(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert (worker.ask("lock_chunk 5"), worker.ask("bump 5")) == ("True", "bumped")
    waiting = Overtaking(lock.progress(5), now=0)
    waiting.look(lock.progress(5), now=1)
    assert worker.ask("bump 5") == "bumped"
    assert rank_after(waiting, lock.progress(5), 2) == 0
    worker.stop()
    worker.tell("bump 5")
    assert not lock.try_chunk(5)
    assert rank_after(waiting, lock.progress(5), *range(3, 12)) == 0
    assert rank_after(waiting, lock.progress(5), 12) == 1
    assert lock.try_chunk(5, 1)


def test_progress_on_one_chunk_says_nothing_about_another(cache: Cache) -> None:
    lock = cache.lock(MIXED.digest)
    before = [lock.progress(number) for number in (None, 0, 1, 70_000)]
    lock.bump(0)
    after = [lock.progress(number) for number in (None, 0, 1, 70_000)]
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, False, False]
    lock.bump()
    assert lock.progress() != before[0]
    assert lock.progress(0) == after[1]


def test_a_waiter_overtakes_a_holder_that_stands_still_and_none_that_moves() -> None:
    waiting = Overtaking(progress=7, now=100.0)
    for second in range(1, 60):
        assert rank_after(waiting, 7 + second, 100.0 + second) == 0
    seconds = int(OVERTAKE_SECONDS)
    assert rank_after(waiting, 66, *range(160, 159 + seconds)) == 0
    assert rank_after(waiting, 66, 159 + seconds) == 1
    assert rank_after(waiting, 67, *range(170, 180)) == 1


def test_who_overtook_is_overtaken_after_the_same_time_without_progress() -> None:
    waiting = Overtaking(progress=7, now=0.0, patience_seconds=3.0)
    ranks = [rank_after(waiting, 7, now) for now in range(1, 10)]
    assert ranks == [0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_waiter_that_was_stopped_itself_has_not_lost_patience() -> None:
    waiting = Overtaking(progress=7, now=0.0)
    assert rank_after(waiting, 7, 1, 2, 3600, 3601) == 0
    assert rank_after(waiting, 7, *range(3602, 3610)) == 1


def test_a_holder_that_starts_from_zero_again_has_moved() -> None:
    waiting = Overtaking(progress=7, now=0.0)
    assert rank_after(waiting, 7, *range(1, 10)) == 0
    assert rank_after(waiting, 0, *range(10, 20)) == 0


@pytest.mark.parametrize("what", ["layer", "chunk 5"])
def test_of_those_who_may_overtake_one_does_and_the_others_wait_for_that_one(cache: Cache, start: Start, what: str) -> None:
    stopped, second, lock = start(), start(), cache.lock(MIXED.digest)
    ours = lock.try_layer if what == "layer" else partial(lock.try_chunk, 5)
    assert stopped.ask(f"lock_{what}") == "True"
    assert (second.ask(f"lock_{what} 1"), ours(1)) == ("True", False)
    stopped.kill()
    assert (ours(), ours(1)) == (False, False)  # the lock is free, and who overtook still works
    second.kill()
    assert ours()


def test_who_overtook_can_be_overtaken_and_in_the_end_nobody_waits(cache: Cache, start: Start) -> None:
    workers, lock = [start() for _ in range(4)], cache.lock(MIXED.digest)
    assert [worker.ask(f"lock_layer {rank}") for rank, worker in enumerate(workers)] == ["True"] * 4
    assert [lock.try_layer(rank) for rank in range(5)] == [False, False, False, False, True]
    assert workers[0].ask("lock_layer") == "False"  # it has the lock, and was overtaken


def test_who_was_overtaken_finds_it_out_by_progress_that_is_not_his(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert not lock.is_overtaken()
    lock.bump()
    assert not lock.is_overtaken()
    assert worker.ask("bump 5") == "bumped"
    assert not lock.is_overtaken()
    assert worker.ask("bump") == "bumped"
    assert lock.is_overtaken()
    lock.release_layer()
    assert not lock.is_overtaken()


def test_who_looks_while_another_thread_lets_go_gets_an_answer(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = cache.lock(MIXED.digest)
    lock.bump()
    progress = LayerLock.progress

    def released_meanwhile(lock: LayerLock, number: int | None = None) -> int:
        lock.release_layer()
        return progress(lock, number)

    monkeypatch.setattr(LayerLock, "progress", released_meanwhile)
    assert not lock.is_overtaken()
    assert not lock.is_overtaken()  # and no bump of ours any more


def test_within_a_process_everybody_has_the_same_lock_and_it_excludes_nobody(cache: Cache) -> None:
    one, two = cache.lock(MIXED.digest), cache.lock(MIXED.digest)
    assert one is two
    assert (one.try_chunk(5), two.try_chunk(5)) == (True, True)


def test_a_lock_that_nobody_has_any_more_is_free(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert lock.try_chunk(5)
    del lock
    assert worker.ask("lock_chunk 5") == "True"


def test_letting_go_of_what_one_does_not_have_is_harmless(cache: Cache, start: Start) -> None:
    worker, lock = start(), cache.lock(MIXED.digest)
    assert worker.ask("lock_chunk 5") == "True"
    lock.release_chunk(5)
    lock.release_layer()
    assert not lock.try_chunk(5)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EINVAL, errno.ENOSYS])
def test_where_there_are_no_locks_everybody_may_fetch(cache: Cache, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*_arguments: object) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refused)
    lock = cache.lock(MIXED.digest)
    assert (lock.try_chunk(5), lock.try_layer()) == (True, True)
    lock.release_chunk(5)


def test_where_the_lock_cannot_be_made_everybody_may_fetch(cache: Cache, root: Path) -> None:
    (root / "locks" / "sha256").symlink_to(root / "staging")
    lock = cache.lock(MIXED.digest)
    assert lock.try_chunk(5)
    lock.bump(5)
    assert lock.progress(5) == 0


@pytest.mark.parametrize("garbage", ["link", "directory", "fifo"])
def test_garbage_in_its_place_makes_way_for_a_lock_that_excludes(cache: Cache, root: Path, start: Start, garbage: str) -> None:
    place = root / "locks" / "sha256" / MIXED.digest.hex
    place.parent.mkdir(mode=0o700)
    match garbage:
        case "link":
            place.symlink_to(root / "version")
        case "directory":
            (place / "deep").mkdir(parents=True)
        case "fifo":
            os.mkfifo(place)
    lock = cache.lock(MIXED.digest)
    assert lock.try_chunk(5)
    assert start().ask("lock_chunk 5") == "False"
    assert (root / "version").read_bytes() == b"mkfs cache 2\n"


def test_a_disk_too_full_to_show_progress_is_no_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = cache.lock(MIXED.digest)

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock.bump(5)
    assert lock.progress(5) == 0


def test_a_lock_is_a_private_file_by_digest(cache: Cache, root: Path) -> None:
    lock = cache.lock(MIXED.digest)
    assert lock.try_layer()
    assert names(root / "locks" / "sha256") == [MIXED.digest.hex]
    assert (root / "locks" / "sha256" / MIXED.digest.hex).stat().st_mode & 0o777 == 0o600
