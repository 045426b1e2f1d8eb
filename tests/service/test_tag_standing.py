"""A tag that moves, moves on, and comes back."""

from mkfs.oci.digest import Digest
from mkfs.service.tag_standing import TagStanding

SHOWN, OTHER, THIRD = (Digest.of(name) for name in (b"shown", b"other", b"third"))


def told(*heard: Digest) -> tuple[Digest, bool, float | None, float | None]:
    times = iter(range(10, 100, 10))
    tag = TagStanding("7b", SHOWN, lambda: float(next(times)))
    for digest in heard:
        tag.heard(digest)
    return tag.digest, tag.moved, tag.moved_at, tag.asked_at


def test_what_nobody_asked_is_what_is_shown() -> None:
    assert told() == (SHOWN, False, None, None)


def test_one_that_stays() -> None:
    assert told(SHOWN, SHOWN) == (SHOWN, False, None, 20)


def test_one_that_moved_says_since_when() -> None:
    assert told(SHOWN, OTHER, OTHER) == (OTHER, True, 20, 30)


def test_one_that_moves_on_moved_then() -> None:
    assert told(OTHER, THIRD) == (THIRD, True, 20, 20)


def test_one_that_came_back_is_where_it_was() -> None:
    assert told(OTHER, SHOWN) == (SHOWN, False, None, 20)
