"""Whose a mount is and who may read it: other users, owners and modes, and a mount made without being root."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from tests.support import namespaces
from tests.support.kit_parts import content_of
from tests.support.mounting import Shell
from tests.support.namespaces import NOBODY
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

SOMEBODY = 65533
README = b"# for everybody\n"


@pytest.fixture(scope="module")
def kit() -> Kit:
    code = Directory({"run.sh": File(b"#!/bin/sh\necho ran\n", 0o755), "private.txt": File(b"p", 0o600)})
    return KitBuilder("shared", seed=8).model("weights.bin", 2**20 + 1).code("src", code).docs("README.md", README).build()


@pytest.fixture(scope="module")
def reference(pusher: Pusher, kit: Kit) -> str:
    return pusher.push("shared/kit", "1", kit.manifest, kit.blobs)


def as_user(uid: int, directory: Path, *command: str) -> tuple[int, bytes]:
    """Exit status and output of a command that another user runs in `directory` (entered before, as its parents may be closed)."""
    done = subprocess.run(command, cwd=directory, user=uid, group=uid, extra_groups=[], capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.fault("F")
def test_root_shares_a_mount_with_everybody(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert as_user(NOBODY, mount.place, "cat", "README.md", "src/private.txt") == (0, README + b"p")
        weights = content_of(kit, "weights.bin")
        assert as_user(NOBODY, mount.place, "cat", "weights.bin") == (0, weights.read(ByteRange(0, weights.size_bytes)))
        assert as_user(NOBODY, mount.place, "src/run.sh") == (0, b"ran\n")


@pytest.mark.fault("F")
def test_a_mount_that_is_not_shared_refuses_everybody_else(reference: str, shell: Shell) -> None:
    with shell.mounted(reference, "--no-allow-other") as mount:
        assert mount.path("README.md").read_bytes() == README
        assert as_user(NOBODY, mount.place, "cat", "README.md") == (1, b"")
        assert as_user(NOBODY, mount.place, "ls", ".") == (2, b"")


def test_owner_group_and_umask_are_what_was_asked_for(reference: str, shell: Shell) -> None:
    with shell.mounted(reference, "--allow-other", "--uid", str(SOMEBODY), "--gid", "4321", "--umask", "027") as mount:
        seen = {}
        for path in (mount.place, *mount.place.rglob("*")):
            status = path.lstat()
            assert (status.st_uid, status.st_gid) == (SOMEBODY, 4321)
            seen[str(path.relative_to(mount.place))] = stat.S_IMODE(status.st_mode)
        assert seen == {
            ".": 0o550,
            "Kitfile": 0o440,
            "README.md": 0o440,
            "src": 0o550,
            "src/private.txt": 0o440,
            "src/run.sh": 0o550,
            "weights.bin": 0o440,
        }
        assert as_user(SOMEBODY, mount.place, "cat", "README.md") == (0, README)
        assert as_user(NOBODY, mount.place, "cat", "README.md") == (1, b"")


def test_a_mount_belongs_to_whoever_made_it_and_keeps_the_modes_of_the_kit(reference: str, shell: Shell) -> None:
    with shell.mounted(reference, "--no-allow-other") as mount:
        status = mount.path("src/private.txt").lstat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), os.getegid(), 0o400)


UNPRIVILEGED = """
readonly reference=$1 python=$2 setpriv=$3
unset MKFS_CONFIG MKFS_CACHE_DIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_STATE_HOME
export HOME=/mnt/home
as_nobody() { $setpriv "$@"; }
as_nobody mkdir /mnt/home /mnt/place
as_nobody "$python" -P -m mkfs mount "$reference" /mnt/place
as_nobody cat /mnt/place/README.md
as_nobody stat -c '%u %g %a' /mnt/place/src/private.txt
cat /mnt/place/README.md 2>/dev/null && echo 'root can read it'
as_nobody "$python" -P -m mkfs umount /mnt/place
mountpoint -q /mnt/place && echo 'still mounted'
test -d /mnt/home/.cache/mkfs
ls /mnt/home/.local/state/mkfs/log
as_nobody "$python" -P -m mkfs mount --allow-other "$reference" /mnt/place || echo "shared: $?"
"""


@pytest.mark.fault("F")
def test_a_user_who_is_not_root_mounts_for_themselves(reference: str, shell: Shell) -> None:
    script = namespaces.shell_script(UNPRIVILEGED, reference, sys.executable, " ".join(namespaces.as_nobody()))
    command = [*namespaces.with_fuse_for(0o666), *script]
    done = subprocess.run(command, env=shell.variables(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["# for everybody", f"{NOBODY} {NOBODY} 400", "mnt-place.log", "shared: 21"], done
    assert "user_allow_other" in done.stderr  # what fuse.conf would have to say
