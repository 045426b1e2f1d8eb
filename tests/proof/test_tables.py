"""Tables from elsewhere: those that no tar could have, or whose paths lead astray, are refused before anybody builds a tree."""

from dataclasses import replace

import pytest

from mkfs.archive.entry import Entry, EntryKind
from mkfs.errors import IntegrityError
from mkfs.proof.tables import check_table
from tests.support.indexed import table_of, tar

SIZE = 10 * 512
FILE = Entry(b"dir/file", EntryKind.FILE, 0o644, 700, 1024)


def test_the_tables_of_real_tars_pass() -> None:
    for content in (tar(), tar(a=b""), tar(a=b"x" * 512, b=b"y", c=b"")):
        check_table(table_of(content), len(content), "layer")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (replace(FILE, path=b""), "empty"),
        (replace(FILE, path=b"/etc/passwd"), "absolute"),
        (replace(FILE, path=b"a/../../b"), "upwards"),
        (replace(FILE, path=b".."), "upwards"),
        (replace(FILE, path=b"a\0b"), "NUL"),
        (replace(FILE, path=b"a" * 256), "component longer"),
        (replace(FILE, path=b"a/" * 2049), "longer than"),
        (replace(FILE, path=b"dir/"), "slash"),
        (replace(FILE, mode=0o10644), "mode"),
        (replace(FILE, mode=-1), "mode"),
        (replace(FILE, size_bytes=-1), "of -1 bytes"),
        (replace(FILE, kind=EntryKind.DIRECTORY), "directory of 700 bytes"),
        (replace(FILE, kind=EntryKind.FIFO), "of 700 bytes"),
        (replace(FILE, content_offset=0), "no tar has any"),
        (replace(FILE, content_offset=-512), "no tar has any"),
        (replace(FILE, content_offset=1025), "no tar has any"),
        (replace(FILE, size_bytes=SIZE - 1023), "leaves the layer .ends at byte 5121 of 5120."),
        (replace(FILE, content_offset=2**70), "leaves the layer"),
        (replace(FILE, size_bytes=2**64), "leaves the layer"),
        (replace(FILE, link=b"target"), "link target"),
        (replace(FILE, kind=EntryKind.SYMLINK, size_bytes=0), "link target"),
        (replace(FILE, kind=EntryKind.HARDLINK, size_bytes=0, link=b"a" * 4097), "link target"),
        (replace(FILE, kind=EntryKind.SYMLINK, size_bytes=0, link=b"a\0b"), "link target"),
    ],
)
def test_an_entry_that_no_tar_has_is_refused(entry: Entry, reason: str) -> None:
    check_table((FILE,), SIZE, "layer")
    with pytest.raises(IntegrityError, match=reason) as caught:
        check_table((entry,), SIZE, "layer sha256:x")
    assert caught.value.where == "layer sha256:x"


@pytest.mark.parametrize("offset", [512, 1024, 2048])
def test_two_entries_over_the_same_bytes_are_refused(offset: int) -> None:
    second = replace(FILE, path=b"second", content_offset=offset)
    with pytest.raises(IntegrityError, match="overlaps") as caught:
        check_table((FILE, second), SIZE, "layer")
    assert caught.value.where == "layer"
    check_table((FILE, replace(second, content_offset=2560)), SIZE, "layer")


def test_entries_out_of_order_are_refused() -> None:
    second = replace(FILE, path=b"second", content_offset=2560)
    with pytest.raises(IntegrityError, match="overlaps"):
        check_table((second, FILE), SIZE, "layer")


def test_the_longest_names_pass() -> None:
    longest = b"/".join([b"a" * 255] * 16) + b"/"
    assert len(longest) == 4096
    check_table((replace(FILE, path=longest, kind=EntryKind.DIRECTORY, size_bytes=0),), SIZE, "layer")
    check_table((replace(FILE, kind=EntryKind.SYMLINK, size_bytes=0, link=longest),), SIZE, "layer")


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    two = (FILE, replace(FILE, content_offset=2560))
    monkeypatch.setattr("mkfs.proof.tables.ENTRIES_LIMIT", 2)
    check_table(two, SIZE, "layer")
    monkeypatch.setattr("mkfs.proof.tables.ENTRIES_LIMIT", 1)
    with pytest.raises(IntegrityError, match="too many") as caught:
        check_table(two, SIZE, "layer")
    assert caught.value.where == "layer"
