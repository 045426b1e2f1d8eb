"""Several processes with one cache: killed, stopped and late ones leave neither rubbish nor a wrong byte."""

import os
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from tests.cache.material import MIXED, names
from tests.cache.workers import Start


def staged(root: Path) -> int:
    return len(names(root / "staging"))


def test_what_a_killed_process_staged_is_left_for_the_next_one_and_goes_with_prune(root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    worker.kill()
    cache = Cache.open(root, min_free_ratio=0)
    assert staged(root) == 1
    staging = cache.stage(MIXED.blob, MIXED.grid)
    assert staging.inherited(range(2))
    staging.leave()
    assert staged(root) == 1
    assert cache.prune().leftovers == 2  # and the lock
    assert staged(root) == 0
    cache.close()


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_what_a_living_process_stages_stays(root: Path, start: Start, stopped: bool) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    if stopped:
        worker.stop()
    Cache.open(root, min_free_ratio=0).close()
    assert staged(root) == 1
    worker.go_on()
    assert worker.ask("publish") == "right"
    assert staged(root) == 0


def test_a_stopped_process_that_wakes_up_late_takes_what_was_published_meanwhile(cache: Cache, root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    worker.stop()
    worker.tell("publish")
    mine = MIXED.publish(cache)
    worker.go_on()
    assert worker.heard() == "right"
    assert staged(root) == 0
    assert os.path.samestat(MIXED.directory(root).stat(), mine.identity)
    assert MIXED.is_right(MIXED.whole, mine.read(MIXED.whole))


def test_processes_that_publish_the_same_layer_at_once_all_read_it_right(root: Path, start: Start) -> None:
    workers = [start() for _ in range(3)]
    assert [worker.ask("stage") for worker in workers] == ["staged"] * 3
    for worker in workers:
        worker.tell("publish")
    assert [worker.heard() for worker in workers] == ["right"] * 3
    assert staged(root) == 0
    assert [worker.ask("read") for worker in workers] == ["right"] * 3


def test_a_layer_dropped_by_one_process_is_absent_for_the_next_and_right_after_it_is_fetched_again(
    cache: Cache, start: Start
) -> None:
    worker = start()
    MIXED.publish(cache)
    assert worker.ask("read") == "right"
    cache.drop(MIXED.digest)
    assert worker.ask("read") == "absent"
    assert (worker.ask("stage"), worker.ask("publish")) == ("staged", "right")
