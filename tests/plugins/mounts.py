"""Fails the run, and unmounts, if a mount of ours is left below the run's temporary directory when all tests are through."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_TYPE: Final = "fuse.kitfs"


def mounts_below(directory: Path, mountinfo: str) -> list[Path]:
    """Our mounts below `directory` in the text of /proc/self/mountinfo (proc(5)), the last mounted first."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mountpoint = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4]))
        if after.split(" ")[0] == _TYPE and directory in mountpoint.parents:
            found.append(mountpoint)
    return found[::-1]


@pytest.fixture(scope="session", autouse=True)
def no_mounts_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Looks after the last fixture of the session is gone. Mounts of other programs, and of other runs, are left alone."""
    yield
    mountinfo = Path("/proc/self/mountinfo")
    left = mounts_below(tmp_path_factory.getbasetemp(), mountinfo.read_text(errors="surrogateescape")) if mountinfo.exists() else []
    for mountpoint in left:
        subprocess.run(["umount", "--lazy", mountpoint], check=False)
    if left:
        pytest.fail("mounts left behind: " + ", ".join(map(str, left)), pytrace=False)
