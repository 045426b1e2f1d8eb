"""A cache directory that cannot be used: exit code 23, the reason in three lines at most, and nothing of it is touched."""

import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mkfs.cache.store import Cache
from mkfs.cli.app import app
from tests.cache.disks import silent_mount
from tests.cache.material import MIXED
from tests.faults.conftest import Disk
from tests.support.mounting import Shell
from tests.support.namespaces import NOBODY

CACHE_UNUSABLE = 23
NOWHERE = "127.0.0.1:9/team/llama:7b"  # nobody is asked: the cache comes first


def warmup(root: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["warmup", NOWHERE, "--cache-dir", str(root), *options])


def refused(done: Result, root: Path, reason: str) -> None:
    assert (done.exit_code, done.stdout) == (CACHE_UNUSABLE, ""), done
    what, where, hint = done.stderr.splitlines()
    assert reason in what
    assert str(root) in where
    assert "--cache-dir" in hint


def a_cache(root: Path) -> None:
    MIXED.publish(Cache.open(root, min_free_ratio=0)).close()


def state(root: Path) -> list[tuple[str, int, int]]:
    """What is there, and how."""
    return sorted((str(path), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in [root, *root.rglob("*")])


def others_can_write(root: Path) -> None:
    a_cache(root)
    root.chmod(0o770)


def others_can_write_in_it(root: Path) -> None:
    a_cache(root)
    (root / "layers").chmod(0o777)


def symbolic_link(root: Path) -> None:
    a_cache(root.with_name("elsewhere"))
    root.symlink_to("elsewhere")


def symbolic_link_in_it(root: Path) -> None:
    a_cache(root)
    (root / "layers").rename(root.with_name("elsewhere"))
    (root / "layers").symlink_to(root.with_name("elsewhere"))


def older(root: Path) -> None:
    a_cache(root)
    (root / "version").write_text("mkfs cache 0\n")


def newer(root: Path) -> None:
    a_cache(root)
    (root / "version").write_text("mkfs cache 9\n")


def a_file(root: Path) -> None:
    root.write_text("not a directory")


def below_a_file(root: Path) -> None:
    root.parent.rmdir()
    root.parent.write_text("not a directory")


def somebody_elses(root: Path) -> None:
    a_cache(root)
    os.chown(root, NOBODY, NOBODY)


def something_else(root: Path) -> None:
    root.mkdir(mode=0o755)
    (root / "thesis.tex").touch()


REASONS: dict[Callable[[Path], None], str] = {
    others_can_write: "can be written by others (got mode 0770, expected 0700)",
    others_can_write_in_it: "can be written by others (got mode 0777, expected 0700)",
    symbolic_link: "is a symbolic link",
    symbolic_link_in_it: "cannot be used: Not a directory",
    older: "of another version (got b'mkfs cache 0\\n', expected b'mkfs cache 2\\n')",
    newer: "of another version (got b'mkfs cache 9\\n', expected b'mkfs cache 2\\n')",
    a_file: "cannot be used: Not a directory",
    below_a_file: "cannot be used: Not a directory",
    somebody_elses: f"belongs to another user (got uid {NOBODY}, expected",
    something_else: "holds no cache, but 'thesis.tex'",
}


@pytest.mark.fault("K")
@pytest.mark.parametrize(
    ("make", "verb"),
    [
        pytest.param(make, verb, id=f"{make.__name__.replace('_', ' ')}, {verb}")
        for make, verb in product(REASONS, ["warmup", "cache info", "cache prune"])
    ],
)
def test_what_is_no_cache_of_ours_is_refused_and_left_alone(tmp_path: Path, make: Callable[[Path], None], verb: str) -> None:
    root = tmp_path / "parent" / "cache"
    root.parent.mkdir()
    make(root)
    before = state(root.parent)
    done = warmup(root) if verb == "warmup" else CliRunner().invoke(app, [*verb.split(), "--cache-dir", str(root)])
    missing = make is below_a_file and verb != "warmup"
    refused(done, root, "there is no cache" if missing else REASONS[make])
    assert state(root.parent) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cache-size", "1MiB"], "the cache is too small: it may occupy 1.0 MiB (expected room for at least 2.0 MiB)"),
        (["--cache-size", "0"], "the cache is too small: it may occupy 0 B"),
        (["--min-free", "1000TiB"], "stay free (expected room for at least 2.0 MiB)"),
    ],
    ids=["size", "nothing", "free"],
)
def test_limits_that_leave_no_room_for_anything_are_refused(tmp_path: Path, options: list[str], reason: str) -> None:
    refused(warmup(tmp_path / "cache", *options), tmp_path / "cache", reason)


@pytest.mark.fault("K")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("size=1m", "disk is too small: 1.0 MiB"),
        ("size=16m,nr_inodes=20", "disk is too small: 20 inodes (expected at least 32)"),
        ("size=16m,nr_inodes=6", "cannot be used: No space left on device"),
    ],
    ids=["bytes", "inodes", "not even for directories"],
)
def test_a_disk_that_is_too_small_is_refused(disk: Disk, options: str, reason: str) -> None:
    root = disk(options) / "cache"
    refused(warmup(root, "--min-free", "0%"), root, reason)


@pytest.mark.fault("K")
def test_a_disk_that_cannot_be_written_is_refused(disk: Disk) -> None:
    place = disk("size=16m")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    refused(warmup(place / "cache"), place / "cache", "cannot be used: Read-only file system")


@pytest.mark.fault("K")
def test_a_place_where_we_may_not_write_is_refused(tmp_path: Path, shell: Shell) -> None:
    root = tmp_path / "closed" / "cache"
    root.parent.mkdir(mode=0o500)
    without = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"]
    ran = shell.run("warmup", NOWHERE, "--cache-dir", root, around=without)
    assert (ran.exit_code, ran.lines[0]) == (CACHE_UNUSABLE, "Error: cache directory cannot be used: Permission denied")
    assert not root.exists()


@pytest.mark.fault("F")
@pytest.mark.fuse
@pytest.mark.parametrize(
    ("below", "alive"),
    [
        pytest.param(below, alive, id=f"{place}, {state}")
        for below, place in {"": "its root", "deep/below": "deep below"}.items()
        for alive, state in {True: "alive", False: "stuck"}.items()
    ],
)
def test_a_place_on_a_mount_of_ours_is_refused_whether_it_answers_or_not(tmp_path: Path, alive: bool, below: str) -> None:
    place, free = tmp_path / "mnt", tmp_path / "free"
    place.mkdir()
    free.mkdir()
    with silent_mount(place, alive=alive):
        refused(warmup(place / below), place / below, "lies on a mount of ours")
        refused(CliRunner().invoke(app, ["cache", "info", "--cache-dir", str(place / below)]), place / below, "on a mount of ours")
        refused(
            CliRunner().invoke(app, ["mount", NOWHERE, str(free), "--cache-dir", str(place / below)]), place, "on a mount of ours"
        )


@pytest.mark.fuse
@pytest.mark.fault("K")
@pytest.mark.parametrize(
    ("make", "reason"),
    [(newer, "of another version"), (symbolic_link, "is a symbolic link")],
    ids=["a newer version", "a symbolic link"],
)
def test_mount_says_the_same_and_mounts_nothing(shell: Shell, make: Callable[[Path], None], reason: str) -> None:
    make(shell.cache)
    ran = shell.run("mount", NOWHERE, shell.new_place())
    assert ran.exit_code == CACHE_UNUSABLE, ran
    assert reason in ran.lines[0]
    assert shell.is_tidy()
    if shell.cache.is_symlink():
        shutil.rmtree(shell.cache.with_name("elsewhere"))
