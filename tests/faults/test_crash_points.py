"""A few of the crash points of `scripts/crash-points`: one for each system call, and two in a real mount."""

from collections.abc import Iterator

import pytest

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from tests.faults.crash_points import parts
from tests.faults.crashes import SCENARIOS, Stage, Theatre
from tests.faults.strace import CALLS

TRIES = 40  # of what is counted downwards: the call that is hit is not always one about the cache
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with serve(MemoryRegistry()) as server:
        yield Theatre(Stage(tmp_path_factory.mktemp("crashes"), server))


@pytest.mark.fault("C")
@pytest.mark.strace
@pytest.mark.parametrize(
    ("scenario", "call", "number"),
    [
        ("publish", "openat", 30),
        ("publish", "pwrite64", 6),
        ("publish", "recvfrom", 80),
        ("publish", "fallocate", 2),
        ("publish", "renameat", 7),
        ("evict", "unlinkat", 4),
        ("chunks", "fcntl", 5),
        ("chunks", "flock", 2),
        ("chunks", "ftruncate", 3),
        ("evict", "mkdirat", 5),
        pytest.param("mount", "renameat", 3, marks=pytest.mark.fuse),
        pytest.param("mount", "pwrite64", 6, marks=pytest.mark.fuse),
    ],
)
def test_after_a_kill_every_byte_is_right_and_nothing_is_left_over(theatre: Theatre, scenario: str, call: str, number: int) -> None:
    (chosen,) = [each for each in CALLS if each.name == call]
    tries = range(number, max(0, number - TRIES), -1)
    crash = next((crash for each in tries if (crash := theatre.killed(BY_NAME[scenario], chosen, each))), None)
    assert crash is not None, f"{call} did not kill it"
    try:
        assert crash.wrong() == []
        assert crash.leaked() == []
    finally:
        theatre.close(crash.shell)


def test_points_are_spread_over_a_run() -> None:
    assert parts(list(range(10)), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert parts([4, 9], 3) == [[4], [9]]
    assert parts([], 3) == []
