"""The last errors: bounded, each told once with how often it came, and whether readers saw it."""

from collections.abc import Callable
from itertools import count

import pytest

from mkfs.content.last_errors import KEPT, LastErrors
from mkfs.errors import Closing, Mismatch, Unreachable


@pytest.fixture
def clock() -> Callable[[], float]:
    return map(float, count(100)).__next__


def test_an_error_that_comes_again_is_one_with_a_number(clock: Callable[[], float]) -> None:
    errors = LastErrors(clock)
    for host in ("a.test", "", "b.test"):
        errors.tried(Unreachable("no answer within 30 s", "a.test"), "model w", host)
    errors.read_failed(Unreachable("no answer within 30 s", "a.test"), "model w")
    (error,) = errors.latest()
    assert (error.kind, error.count, error.reads_failed, error.host) == ("Unreachable", 3, 1, "b.test")
    assert (error.first_at, error.last_at) == (100, 103)


def test_the_latest_comes_first_and_one_that_comes_again_is_the_latest(clock: Callable[[], float]) -> None:
    errors = LastErrors(clock)
    for what in ("first", "second", "first"):
        errors.tried(Unreachable(what), "w")
    assert [(error.what, error.last_at) for error in errors.latest()] == [("first", 102), ("second", 101)]


def test_layers_and_kinds_are_told_apart(clock: Callable[[], float]) -> None:
    errors = LastErrors(clock)
    errors.tried(Unreachable("x"), "a")
    errors.tried(Unreachable("x"), "b")
    errors.read_failed(Mismatch("x"), "b")
    assert [(error.kind, error.layer, error.count) for error in errors.latest()] == [
        ("Mismatch", "b", 0),
        ("Unreachable", "b", 1),
        ("Unreachable", "a", 1),
    ]


def test_there_are_never_more_than_so_many(clock: Callable[[], float]) -> None:
    errors = LastErrors(clock)
    for number in range(3 * KEPT):
        errors.tried(Unreachable(str(number)), "w")
    assert [error.what for error in errors.latest()] == [str(number) for number in reversed(range(2 * KEPT, 3 * KEPT))]


def test_the_end_of_a_mount_is_no_error(clock: Callable[[], float]) -> None:
    errors = LastErrors(clock)
    errors.read_failed(Closing("the mount is closing"), "w")
    assert errors.latest() == ()
