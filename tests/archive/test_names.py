"""Names from strangers in a message: printable, on one line, and never an error of their own."""

import pytest

from mkfs.archive.names import show_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain", "'plain'"),
        ("gr\u00fcn".encode(), "'gr\u00fcn'"),
        (b"not \xff UTF-8", r"'not \\xff UTF-8'"),
        (b"two\nlines\x1b[31m", r"'two\nlines\x1b[31m'"),
        (b"x" * 120, f"'{'x' * 120}'"),
        (b"x" * 121, f"'{'x' * 120}'\u2026"),
    ],
)
def test_a_name_is_shown_in_quotes_and_cut(name: bytes, shown: str) -> None:
    assert show_name(name) == shown
