"""When the entries of a tar leave its layer nothing but the mark of its end."""

import pytest

from mkfs.archive.tar import TarScanner
from tests.archive.tarballs import BLOCK, END, member, pax

FILE = member(b"model.bin", bytes(1000))
RENAMED = pax({b"path": b"other.bin"})


@pytest.mark.parametrize(
    ("seen", "left", "is_filled"),
    [
        (FILE[:BLOCK], FILE[BLOCK:] + END, True),
        (FILE, END, True),
        (FILE, b"", False),
        (FILE, END + bytes(BLOCK), False),
        (b"", END, False),  # an archive of nothing is looked at
        (FILE + bytes(BLOCK), END, False),
        (FILE + RENAMED, END, False),
        (FILE + RENAMED[:BLOCK], END, False),
    ],
)
def test_the_end_is_taken_for_granted_where_nothing_else_has_room(seen: bytes, left: bytes, is_filled: bool) -> None:
    scanner = TarScanner(len(seen + left))
    scanner.feed(0, seen)
    assert scanner.is_filled is is_filled


def test_nothing_is_taken_for_granted_where_the_length_is_not_known() -> None:
    scanner = TarScanner(None)
    scanner.feed(0, FILE)
    assert not scanner.is_filled
