"""Locks between processes: one at a time fetches a chunk, the dead hold nothing, and nobody waits for the stopped."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from mkfs.cache.locks import OVERTAKE_SECONDS, Overtaking
from mkfs.cache.store import Cache
from tests.cache.material import MIXED, names, raw
from tests.cache.workers import Start


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
    assert worker.ask("bump 5") == "bumped"
    assert not waiting.may_overtake(lock.progress(5), now=60)
    worker.stop()
    worker.tell("bump 5")
    assert not lock.try_chunk(5)
    assert not waiting.may_overtake(lock.progress(5), now=60 + OVERTAKE_SECONDS - 0.1)
    assert waiting.may_overtake(lock.progress(5), now=60 + OVERTAKE_SECONDS)


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
        assert not waiting.may_overtake(7 + second, now=100.0 + second)
    assert not waiting.may_overtake(66, now=159.0 + OVERTAKE_SECONDS - 0.001)
    assert waiting.may_overtake(66, now=159.0 + OVERTAKE_SECONDS)
    assert waiting.may_overtake(66, now=1000.0)
    assert not waiting.may_overtake(67, now=1000.0)


def test_a_holder_that_starts_from_zero_again_has_moved() -> None:
    waiting = Overtaking(progress=7, now=0.0)
    assert not waiting.may_overtake(0, now=OVERTAKE_SECONDS)


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
    (root / "locks" / "sha256").mkdir(mode=0o700)
    (root / "locks" / "sha256" / MIXED.digest.hex).symlink_to("/nowhere")
    lock = cache.lock(MIXED.digest)
    assert lock.try_chunk(5)
    lock.bump(5)
    assert lock.progress(5) == 0


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
