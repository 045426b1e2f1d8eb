"""The check for mounts left behind: which mounts it takes for ours, and that it ends in a failed run."""

from pathlib import Path

import pytest

from tests.plugins.mounts import mounts_below

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
90 22 0:44 / /run/pytest-0/a/model\\040kit ro,nosuid,nodev shared:7 - fuse.kitfs localhost:5000/llama@sha256:aa ro
91 22 0:45 / /run/pytest-0/a/model\\040kit/inner ro,nosuid - fuse.kitfs other ro
92 22 0:46 / /run/pytest-1/a/theirs ro - fuse.kitfs of-another-run ro
93 22 0:47 / /run/pytest-0/a/sshfs rw - fuse.sshfs host:/ rw
94 22 0:48 / /run/pytest-0 rw - tmpfs fuse.kitfs rw
"""


def test_only_our_mounts_of_this_run_count_and_the_innermost_goes_first() -> None:
    base = Path("/run/pytest-0")
    assert mounts_below(base, MOUNTINFO) == [base / "a" / "model kit" / "inner", base / "a" / "model kit"]


@pytest.mark.fuse
def test_a_mount_left_behind_fails_the_run_and_is_unmounted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import subprocess

        def test_it(tmp_path):  # the type of a FUSE mount is text: any file system behind it will do
            options = "fd=0,rootmode=40000,user_id=0,group_id=0"
            with open("/dev/fuse", "r+b", buffering=0) as device:
                subprocess.run(["mount", "-i", "-t", "fuse.kitfs", "-o", options, "left", tmp_path], stdin=device, check=True)
    """)
    result = pytester.runpytest_inprocess("-p", "tests.plugins.mounts", "--basetemp", pytester.path / "base")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*mounts left behind: */base/test_it0*"])
    assert not mounts_below(pytester.path, Path("/proc/self/mountinfo").read_text())
