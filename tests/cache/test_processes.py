"""Several processes with one cache: killed, stopped and late ones leave neither rubbish nor a wrong byte."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from tests.cache.material import MIXED, names

PROJECT = Path(__file__).parents[2]


class Worker:
    """A process with the cache open, and a conversation with it."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cache.worker", root],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.heard() == "open"

    def tell(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.heard()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[[], Worker]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin() -> Worker:
            worker = Worker(root)
            stack.callback(worker.kill)
            return worker

        yield begin


def staged(root: Path) -> int:
    return len(names(root / "staging"))


def test_what_a_killed_process_staged_is_removed_at_the_next_start(root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    worker.kill()
    assert staged(root) == 1
    Cache.open(root, min_free_ratio=0).close()
    assert staged(root) == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_what_a_living_process_stages_stays(root: Path, start: Start, stopped: bool) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    if stopped:
        worker.process.send_signal(signal.SIGSTOP)
    Cache.open(root, min_free_ratio=0).close()
    assert staged(root) == 1
    worker.process.send_signal(signal.SIGCONT)
    assert worker.ask("publish") == "right"
    assert staged(root) == 0


def test_a_stopped_process_that_wakes_up_late_takes_what_was_published_meanwhile(cache: Cache, root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    worker.process.send_signal(signal.SIGSTOP)
    worker.tell("publish")
    mine = MIXED.publish(cache)
    worker.process.send_signal(signal.SIGCONT)
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
