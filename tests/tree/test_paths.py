"""Which paths lead somewhere below the root, and which are refused."""

import pytest

from mkfs.errors import BadArchive
from mkfs.tree.paths import components


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"a", (b"a",)),
        (b"a/b/c.bin", (b"a", b"b", b"c.bin")),
        (b"./a", (b"a",)),
        (b"a/./b//c/", (b"a", b"b", b"c")),
        (b".", ()),
        (b"./", ()),
        (b"...", (b"...",)),
        (b"a..b", (b"a..b",)),
        (b"..a/b..", (b"..a", b"b..")),
        (b"..\\a", (b"..\\a",)),
        (b"C:\\x", (b"C:\\x",)),
        (b" \n\xff\x1b", (b" \n\xff\x1b",)),
        (b"n" * 255 + b"/x", (b"n" * 255, b"x")),
        (b"x/" * 2047 + b"ab", (b"x",) * 2047 + (b"ab",)),
    ],
)
def test_taken(path: bytes, expected: tuple[bytes, ...]) -> None:
    assert components(path) == expected


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (b"", "is empty"),
        (b"/", "is absolute"),
        (b"/etc/passwd", "is absolute"),
        (b"//a", "is absolute"),
        (b"..", "leads upwards"),
        (b"../a", "leads upwards"),
        (b"a/../b", "leads upwards"),
        (b"a/..", "leads upwards"),
        (b"./../a", "leads upwards"),
        (b"a\0b", "holds a NUL"),
        (b"n" * 256, "component longer than 255"),
        (b"a/" + b"n" * 256 + b"/b", "component longer than 255"),
        (b"x/" * 2047 + b"abc", "longer than 4096"),
    ],
)
def test_refused(path: bytes, what: str) -> None:
    with pytest.raises(BadArchive, match=what):
        components(path)


def test_a_path_that_would_break_the_message_is_shown_tame() -> None:
    with pytest.raises(BadArchive) as caught:
        components(b"/\x1b[2J\n\xff" + b"n" * 500)
    assert str(caught.value).startswith(r"path '/\x1b[2J\n\\xff" + "n" * 50)
    assert len(str(caught.value)) < 160
