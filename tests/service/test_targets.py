"""What tags lead to and how long that is believed, without a registry and without a clock."""

import errno

import pytest

from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest
from mkfs.service.targets import RETRY_SECONDS, TagState, Targets, Walk

OLD, NEW, BAD = (Digest.of(name) for name in (b"old", b"new", b"bad"))
TTL = 60.0


@pytest.fixture
def targets() -> Targets:
    return Targets(TTL)


def refusal(targets: Targets, tag: str, now: float | None = None) -> str:
    with pytest.raises(FileSystemError) as caught:
        _ = targets.current(tag) if now is None else targets.believed(tag, now)
    return errno.errorcode[caught.value.errno]


def test_a_tag_nobody_heard_of_has_to_be_asked_for(targets: Targets) -> None:
    assert targets.believed("7b", 0) is None
    assert (targets.knows("7b"), targets.shown("7b"), targets.seconds_left("7b", 0)) == (False, None, 0)


def test_what_was_said_is_believed_from_the_moment_of_asking_on(targets: Targets) -> None:
    targets.means("7b", OLD, asked_at=100)
    assert targets.believed("7b", 100 + TTL - 0.1) == OLD
    assert targets.seconds_left("7b", 130) == TTL - 30
    assert targets.believed("7b", 100 + TTL) is None
    assert targets.current("7b") == OLD


def test_without_a_time_to_live_everybody_asks() -> None:
    targets = Targets(0)
    targets.means("7b", OLD, asked_at=100)
    assert targets.believed("7b", 100) is None
    assert targets.current("7b") == OLD


def test_a_move_is_told_once(targets: Targets) -> None:
    assert targets.means("7b", OLD, 0) is None
    assert targets.means("7b", OLD, 70) is None
    assert targets.means("7b", NEW, 140) == OLD
    assert targets.means("7b", NEW, 210) is None
    assert targets.current("7b") == NEW


def test_a_tag_that_vanishes_is_not_there_for_as_long_as_it_would_have_been(targets: Targets) -> None:
    targets.means("7b", OLD, 0)
    targets.vanished("7b", 70)
    assert refusal(targets, "7b", now=70 + TTL - 1) == "ENOENT"
    assert targets.believed("7b", 70 + TTL) is None
    assert targets.means("7b", NEW, 140) is None
    assert targets.believed("7b", 141) == NEW


def test_a_refused_target_leaves_the_link_where_it_was(targets: Targets) -> None:
    targets.means("production", OLD, 0)
    assert targets.refuses("production", BAD, "not signed", 70)
    assert targets.believed("production", 70) == OLD
    assert targets.states() == (TagState("production", OLD, BAD, "not signed"),)
    assert not targets.refuses("production", BAD, "not signed", 140)
    targets.means("production", NEW, 210)
    assert targets.states() == (TagState("production", NEW),)


def test_a_tag_that_never_had_a_target_that_is_allowed_is_refused(targets: Targets) -> None:
    targets.refuses("production", BAD, "not signed", 0)
    assert refusal(targets, "production", now=1) == refusal(targets, "production") == "EACCES"


def test_a_refusal_is_looked_at_again_soon(targets: Targets) -> None:
    targets.refuses("production", BAD, "not signed", 0)
    assert targets.believed("production", RETRY_SECONDS) is None


def test_without_an_answer_what_is_shown_stays_and_the_registry_is_left_alone_for_a_while(targets: Targets) -> None:
    targets.means("7b", OLD, 0)
    assert targets.unanswered("7b", 100)
    assert targets.believed("7b", 100 + RETRY_SECONDS - 1) == OLD
    assert targets.believed("7b", 100 + RETRY_SECONDS) is None


def test_without_an_answer_nothing_is_made_up(targets: Targets) -> None:
    assert not targets.unanswered("7b", 0)
    targets.vanished("8b", 0)
    assert not targets.unanswered("8b", 100)
    targets.refuses("9b", BAD, "not signed", 0)
    assert not targets.unanswered("9b", 100)


def test_no_answer_shortens_nothing(targets: Targets) -> None:
    targets.means("7b", OLD, 0)
    targets.unanswered("7b", 1)
    assert targets.believed("7b", TTL - 1) == OLD


def test_tags_are_found_by_what_they_show(targets: Targets) -> None:
    targets.means("7b", OLD, 0)
    targets.means("latest", OLD, 0)
    targets.means("8b", NEW, 0)
    targets.refuses("production", OLD, "no", 0)
    assert sorted(targets.meaning(OLD)) == ["7b", "latest"]


def test_absent_tags_are_forgotten_before_those_that_are_there() -> None:
    targets = Targets(TTL, limit=3)
    targets.means("7b", OLD, 0)
    for name in ("x1", "x2", "x3"):
        targets.vanished(name, 0)
    assert targets.believed("7b", 1) == OLD
    assert not targets.knows("x1")
    for name in ("a", "b", "c"):
        targets.means(name, NEW, 0)
    assert [state.tag for state in targets.states()] == ["a", "b", "c"]


def test_three_looks_in_a_row_are_a_walk_and_go_on_behind_what_was_asked_ahead() -> None:
    walk = Walk(4)
    assert [list(walk.ahead(position)) for position in (0, 1, 2, 7)] == [[], [], [3, 4, 5, 6], [8, 9, 10, 11]]


@pytest.mark.parametrize("looks", [(5, 6), (0, 1, 9), (3, 2, 1), (4, 4, 4), (0, 20, 40)])
def test_neighbours_jumps_and_looks_backwards_are_none(looks: tuple[int, ...]) -> None:
    walk = Walk(4)
    assert [list(walk.ahead(position)) for position in looks] == [[]] * len(looks)
