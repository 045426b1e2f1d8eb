"""Mounts as they are seen from outside, in a made-up mount table."""

import pytest

from mkfs.fuse.kernel import Condition
from mkfs.fuse.mountinfo import FILE_SYSTEM, Mount
from mkfs.service import views
from mkfs.service.views import State, first_place, ours, view_of


def mount(number: int, place: str, file_system: str = FILE_SYSTEM, user: int = 7) -> Mount:
    return Mount(f"0:{number}", place.encode(), file_system, f"registry.test/{number}", b"/", (f"user_id={user}",))


TABLE = (
    mount(1, "/mnt/one"),
    mount(2, "/mnt/two", user=8),
    mount(3, "/mnt/three"),
    mount(4, "/mnt/other", "ext4"),
    mount(1, "/mnt/bound"),
    mount(5, "/mnt/three"),
)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that the table was read. Whoever is asked is dead."""
    done: list[None] = []

    def table() -> tuple[Mount, ...]:
        done.append(None)
        return TABLE

    monkeypatch.setattr(views, "mounts", table)
    monkeypatch.setattr(views, "condition", lambda _mount: Condition.DEAD)
    return done


def test_each_of_ours_is_seen_once_where_it_was_made_and_the_uppermost(looks: list[None]) -> None:
    assert [(each.place, each.device) for each in ours(7)] == [(b"/mnt/one", "0:1"), (b"/mnt/three", "0:5")]
    assert {each.place for each in ours(0)} == {b"/mnt/one", b"/mnt/two", b"/mnt/three"}


def test_what_is_bound_elsewhere_is_asked_under_its_first_place(looks: list[None]) -> None:
    assert first_place(TABLE[4]) == TABLE[0]
    assert first_place(mount(9, "/mnt/gone")).place == b"/mnt/gone"


def test_however_many_mounts_there_are_the_table_is_read_once(looks: list[None]) -> None:
    seen = [view_of(each, lambda _mount: []) for each in ours(0)]
    assert [view.state for view in seen] == [State.DEAD] * 3
    assert len(looks) == 1
