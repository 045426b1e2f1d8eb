"""Modes, owners and times: what `stat` and `ls -l` show."""

import os
import stat
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.vfs.attributes import BLKSIZE_BYTES, MTIME_NS, Attributes, Ownership


@pytest.mark.parametrize(
    ("artifact", "shared", "umask", "shown"),
    [
        (0o644, False, 0, 0o444),
        (0o755, False, 0, 0o555),
        (0o600, False, 0, 0o400),
        (0o600, True, 0, 0o444),
        (0o700, True, 0, 0o544),
        (0o4755, True, 0, 0o555),
        (0o666, True, 0o077, 0o400),
        (0o644, True, 0o022, 0o444),
    ],
)
def test_a_file_keeps_its_mode_without_the_write_bits(artifact: int, shared: bool, umask: int, shown: int) -> None:
    mode = Ownership(0, 0, umask, shared).file_mode(artifact)
    assert stat.S_ISREG(mode)
    assert oct(stat.S_IMODE(mode)) == oct(shown)


@pytest.mark.parametrize(
    ("artifact", "shared", "umask", "shown"),
    [
        (0o755, False, 0, 0o555),
        (0o700, False, 0, 0o500),
        (0o700, True, 0, 0o555),
        (0o700, True, 0o027, 0o550),
        (0o000, False, 0, 0o500),
        (0o777, False, 0o777, 0o500),
        (0o1777, False, 0, 0o555),
    ],
)
def test_a_directory_can_always_be_searched_by_its_owner(artifact: int, shared: bool, umask: int, shown: int) -> None:
    mode = Ownership(0, 0, umask, shared).directory_mode(artifact)
    assert stat.S_ISDIR(mode)
    assert oct(stat.S_IMODE(mode)) == oct(shown)


@given(artifact=st.integers(0, 0o7777), umask=st.integers(0, 0o777), shared=st.booleans())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_nothing_is_ever_writable_or_setuid(artifact: int, umask: int, shared: bool) -> None:
    owner = Ownership(1, 2, umask, shared)
    for mode in (owner.file_mode(artifact), owner.directory_mode(artifact)):
        assert not mode & 0o7222


def test_the_time_is_one_that_every_tool_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model"
    file.touch()
    os.utime(file, ns=(MTIME_NS, MTIME_NS))
    for zone in ("Etc/GMT+12", "Etc/GMT-14", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.write(file)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (512, 1), (513, 2), (2**40, 2**31)])
def test_du_counts_what_a_file_holds(size: int, blocks: int) -> None:
    assert Attributes(2, stat.S_IFREG, size, 0, 0).blocks == blocks


def test_buffers_get_a_power_of_two() -> None:
    assert Attributes(2, stat.S_IFREG, 1, 0, 0).blksize_bytes == BLKSIZE_BYTES == 128 * 1024
