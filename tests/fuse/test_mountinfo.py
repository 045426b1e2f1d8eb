"""The mount table, as proc_pid_mountinfo(5) writes it."""

from pathlib import Path

import pytest

from mkfs.fuse.mountinfo import Mount, mount_at, parse_mountinfo

TABLE = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt/a\\040b\\134c rw,noatime master:1 propagate_from:2 - ext3 /dev/root\\011x rw,errors=continue
40 27 0:39 / /mnt/llama ro,nosuid shared:5 - fuse.kitfs localhost:5000/llama@sha256:0,\\040test ro,user_id=0
41 40 0:40 / /mnt/llama rw - tmpfs none rw
nonsense
"""


def test_every_line_is_read_with_its_escapes_and_any_number_of_optional_fields() -> None:
    assert parse_mountinfo(TABLE) == (
        Mount("0:21", b"/proc", "proc", "proc", b"/", ("rw",)),
        Mount("98:0", b"/mnt/a b\\c", "ext3", "/dev/root\tx", b"/mnt1", ("rw", "errors=continue")),
        Mount("0:39", b"/mnt/llama", "fuse.kitfs", "localhost:5000/llama@sha256:0, test", b"/", ("ro", "user_id=0")),
        Mount("0:40", b"/mnt/llama", "tmpfs", "none", b"/", ("rw",)),
    )


@pytest.mark.parametrize("name", [b"fuse.\xff", b"a\rb", b"a\x85b", b"\\777", b"x\\134040"])
def test_what_anybody_may_call_a_mount_is_read_and_hides_no_other(name: bytes) -> None:
    line = b"50 22 0:50 / /mnt/%b rw - %b %b rw\n"
    before, after = line % (b"one", b"ext3", b"none"), line % (b"two", b"ext3", b"none")
    mounts = parse_mountinfo(before + line % (name, name, name) + after)
    assert [mount.place for mount in mounts] == [b"/mnt/one", b"/mnt/" + name.replace(b"\\134", b"\\"), b"/mnt/two"]
    assert mounts[1].file_system == mounts[1].source


def test_only_our_own_subtype_is_ours() -> None:
    assert [mount.ours for mount in parse_mountinfo(TABLE)] == [False, False, True, False]


def test_who_mounted_it_is_told_where_the_file_system_says_so() -> None:
    assert [mount.user for mount in parse_mountinfo(TABLE)] == [None, None, 0, None]


def test_of_two_mounts_at_one_place_the_upper_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(TABLE)
    monkeypatch.setattr("mkfs.fuse.mountinfo._MOUNTINFO", table)
    assert mount_at(Path("/mnt/llama")).file_system == "tmpfs"
    assert mount_at(Path("/mnt")) is None
