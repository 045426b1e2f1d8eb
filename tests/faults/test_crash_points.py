"""A few of the crash points of `scripts/crash-points`: one for each system call, and two in a real mount. In `scripts/faults` many,
spread over each scenario's run as that script does it.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from tests.faults.crash_points import parts
from tests.faults.crashes import SCENARIOS, Stage, Theatre
from tests.faults.strace import CALLS, Call

TRIES = 40  # before a point is given up: the call that is hit is not always one about the cache
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

# How many points of a scenario's calls, where it makes so many of them in each run.
_ALWAYS = ("openat", "flock", "mkdirat")
_WRITING = (*_ALWAYS, "pwrite64", "recvfrom", "fallocate", "renameat", "unlinkat", "fcntl")
POINTS = {
    "publish": dict.fromkeys(_WRITING, 3),
    "chunks": dict.fromkeys(_ALWAYS, 3)
    | dict.fromkeys(["pwrite64", "recvfrom", "fcntl", "ftruncate"], 3)
    | {"renameat": 2, "unlinkat": 1},
    "evict": dict.fromkeys(_WRITING, 3),
    "verify": dict.fromkeys([*_ALWAYS, "renameat"], 3) | {"pwrite64": 1, "unlinkat": 1},
    "prune": dict.fromkeys([*_ALWAYS, "renameat", "unlinkat"], 3) | {"fcntl": 1},
    "mount": dict.fromkeys((call for call in _WRITING if call != "fallocate"), 4) | {"ftruncate": 2},
}


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
    is_survived(theatre, scenario, named(call), range(number, 0, -1))


@pytest.fixture
def unannounced() -> Iterator[None]:
    """It depends on the moment of a kill whether damage is left that somebody has to speak of."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def runs(theatre: Theatre) -> dict[tuple[str, str], list[int]]:
    """The numbers of calls, by scenario and call: each traced once."""

    class Runs(dict[tuple[str, str], list[int]]):
        def __missing__(self, key: tuple[str, str]) -> list[int]:
            self[key] = theatre.traced(BY_NAME[key[0]], named(key[1]))
            return self[key]

    return Runs()


@pytest.mark.fault("C")
@pytest.mark.long
@pytest.mark.strace
@pytest.mark.fuse
@pytest.mark.usefixtures("unannounced")
@pytest.mark.parametrize(
    ("scenario", "call", "part", "count"),
    [
        pytest.param(scenario, call, part, count, id=f"{scenario}, {call}, {part + 1} of {count}")
        for scenario, calls in POINTS.items()
        for call, count in calls.items()
        for part in range(count)
    ],
)
def test_after_a_kill_anywhere_every_byte_is_right_and_nothing_is_left_over(
    theatre: Theatre, runs: dict[tuple[str, str], list[int]], scenario: str, call: str, part: int, count: int
) -> None:
    numbers = runs[scenario, call]
    assert len(numbers) >= count, numbers
    wanted = parts(numbers, count)[part]
    middle = wanted[len(wanted) // 2]
    is_survived(theatre, scenario, named(call), sorted(numbers, key=lambda number: abs(number - middle)))


def named(call: str) -> Call:
    (found,) = [each for each in CALLS if each.name == call]
    return found


def is_survived(theatre: Theatre, scenario: str, call: Call, numbers: Iterable[int]) -> None:
    """Kills at the first of `numbers` that fires; no byte is wrong then, and nothing left over."""
    tries = islice(numbers, TRIES)
    crash = next((crash for number in tries if (crash := theatre.killed(BY_NAME[scenario], call, number))), None)
    assert crash is not None, f"{call.name} did not kill it"
    try:
        assert crash.wrong() == []
        assert crash.leaked() == []
    finally:
        theatre.close(crash.shell)


def test_there_are_as_many_points_as_promised() -> None:
    assert sum(count for calls in POINTS.values() for count in calls.values()) >= 120
    assert {call.name for call in CALLS} == {call for calls in POINTS.values() for call in calls}


def test_points_are_spread_over_a_run() -> None:
    assert parts(list(range(10)), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert parts([4, 9], 3) == [[4], [9]]
    assert parts([], 3) == []
