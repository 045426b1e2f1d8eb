"""Mounts that somebody moved, bound, covered, hid or replaced: a daemon takes away what is its own, wherever that is, and nothing
else; and dead mounts are found under all of that.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.fuse.mountinfo import mount_at
from mkfs.testing.kits import Directory, File, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import wrong_files
from tests.support.leftovers import left_behind
from tests.support.mounting import Mount, Shell, ended, name_of, refusal_of
from tests.support.namespaces import LET_GO

pytestmark = pytest.mark.fuse

MOUNTPOINT, BUSY = 20, 22
README = b"# odd\n"
KIT = (
    KitBuilder("odd", seed=11)
    .model("weights.bin", 2 * MIB)
    .docs("README.md", README)
    .code("src", Directory({"run.sh": File(b"#!/bin/sh\n")}))
    .build()
)


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("life/odd", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/life/odd:1"


def mount8(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def umount8(place: Path) -> None:
    subprocess.run(["umount", place], check=True)


def told_to_end(mount: Mount) -> None:
    os.kill(mount.pid, signal.SIGTERM)
    assert ended(mount.pid)


def killed(mount: Mount) -> None:
    os.kill(mount.pid, signal.SIGKILL)
    assert ended(mount.pid)


@contextmanager
def own_propagation(place: Path) -> Iterator[Path]:
    """A file system at `place` whose mounts may be moved (not below a shared one: mount(8))."""
    mount8("-t", "tmpfs", "none", place)
    mount8("--make-private", place)
    try:
        yield place
    finally:
        umount8(place)


def test_over_a_directory_of_another_file_system(reference: str, shell: Shell) -> None:
    with own_propagation(shell.new_place("disk")) as disk:
        (disk / "mnt").mkdir()
        with shell.mounted(reference, place=disk / "mnt") as mount:
            assert wrong_files(mount.place, KIT) == []
            mount.umount()


def test_through_a_symbolic_link_the_place_behind_it_is_meant(reference: str, shell: Shell) -> None:
    place, link = shell.new_place(), shell.home / "link"
    link.symlink_to(place.name)
    assert shell.run("mount", reference, link).exit_code == 0
    assert mount_at(place) is not None
    assert (link / "README.md").read_bytes() == README
    assert shell.run("umount", link).exit_code == 0
    assert left_behind(shell) == []


def test_a_link_that_leads_nowhere_is_no_place(reference: str, shell: Shell) -> None:
    link = shell.home / "link"
    link.symlink_to("nowhere")
    ran = shell.run("mount", reference, link)
    assert (ran.exit_code, len(ran.lines) <= 3) == (MOUNTPOINT, True), ran


def test_two_on_top_of_each_other_are_two(reference: str, shell: Shell) -> None:
    """The command refuses that; mount(8) does not."""
    below, above = shell.new_place("below"), shell.new_place("above")
    with shell.mounted(reference, place=below) as lower, shell.mounted(reference, place=above) as upper:
        mount8("--bind", above, below)
        ran = shell.run("umount", below)
        assert (ran.exit_code, ran.lines) == (
            0,
            [f"its daemon, pid {upper.pid}, goes on: the same file system is mounted at {above}"],
        )
        assert mount_at(below) == lower.entry
        mount8("--bind", above, below)
        assert shell.run("umount", "--force", below).exit_code == 0
        assert ended(upper.pid, 0)
        assert mount_at(above) is None
        assert wrong_files(below, KIT) == []
        lower.umount()


def test_whoever_is_covered_ends_beneath_and_leaves_what_covers_it(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        mount8("-t", "tmpfs", "none", mount.place)
        ran = shell.run("umount", mount.place)
        assert (ran.exit_code, ran.lines[0]) == (MOUNTPOINT, f"Error: {mount.place} is not a mount of mkfs")
        told_to_end(mount)
        assert mount.entry.file_system == "tmpfs"
        assert "stays mounted beneath none (tmpfs)" in mount.log_file.read_text()
        assert shell.run("mount", reference, mount.place).exit_code == BUSY
        umount8(mount.place)
        with shell.mounted(reference, place=mount.place) as again:  # clears what is dead by now
            assert wrong_files(again.place, KIT) == []
            again.umount()
        assert not mount.is_mounted()


def test_a_mount_that_was_moved_is_found_where_it_is(reference: str, shell: Shell) -> None:
    with own_propagation(shell.new_place("disk")) as disk:
        (disk / "from").mkdir()
        (disk / "to").mkdir()
        for end in (told_to_end, lambda mount: shell.run("umount", disk / "to")):
            with shell.mounted(reference, place=disk / "from") as mount:
                mount8("--move", disk / "from", disk / "to")
                assert (disk / "to" / "README.md").read_bytes() == README
                assert shell.run("umount", disk / "from").exit_code == MOUNTPOINT
                end(mount)
                assert ended(mount.pid)
                assert shell.mounts() == [disk]


def test_a_mount_whose_way_was_renamed_is_found_where_it_is(reference: str, shell: Shell) -> None:
    parent = shell.new_place("parent")
    (parent / "mnt").mkdir()
    with shell.mounted(reference, place=parent / "mnt") as mount:
        parent.rename(shell.home / "renamed")
        told_to_end(mount)
        assert shell.mounts() == []
    assert left_behind(shell) == []


def test_a_part_bound_elsewhere_keeps_the_daemon_and_ends_with_it(reference: str, shell: Shell) -> None:
    part = shell.new_place("part")
    for end in (lambda mount: umount8(part), told_to_end):
        with shell.mounted(reference, place=shell.home / "mnt" if part.parent.joinpath("mnt").exists() else None) as mount:
            mount8("--bind", mount.path("src"), part)
            ran = shell.run("umount", mount.place)
            assert ran.exit_code == 0
            assert ran.lines == [f"its daemon, pid {mount.pid}, goes on: the same file system is mounted at {part}"]
            assert (part / "run.sh").read_bytes() == b"#!/bin/sh\n"
            end(mount)
            assert ended(mount.pid)
            assert shell.mounts() == []


def test_what_was_unmounted_lazily_does_not_take_its_successor_with_it(reference: str, shell: Shell) -> None:
    first = shell.mount(reference)
    with first.path("weights.bin").open("rb") as file:
        assert shell.run("umount", "--lazy", first.place).exit_code == 0
        first.log_file.rename(shell.home / "first.log")
        with shell.mounted(reference, place=first.place) as second:
            assert len(file.read()) == 2 * MIB
            told_to_end(first)
            assert second.is_mounted()
            assert wrong_files(second.place, KIT) == []
            second.umount()


IN_A_NAMESPACE = """
"$1" -P -m mkfs mount "$2" "$3" --log-file "$4"
cat "$3/README.md"
exec sleep 600
"""


@contextmanager
def mounted_in_a_namespace(reference: str, shell: Shell, place: Path) -> Iterator[int]:
    """A mount that nobody here sees. The pid of its daemon."""
    script = ["sh", "-euc", LET_GO + IN_A_NAMESPACE, "sh", sys.executable, reference, place, shell.home / "mnt.log"]
    words = ["unshare", "--mount", "--propagation", "private", *script]
    with subprocess.Popen(words, env=shell.variables(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == README
            (daemon,) = [pid for pid in shell.processes() if name_of(pid) == "kitfs"]
            yield daemon
        finally:
            process.kill()


def test_a_mount_of_a_private_namespace_is_not_ours_to_see_and_ends_by_its_daemon(reference: str, shell: Shell) -> None:
    place = shell.new_place()
    with mounted_in_a_namespace(reference, shell, place) as daemon:
        for options in ([], ["--force"]):
            ran = shell.run("umount", *options, place)
            assert (ran.exit_code, ran.lines) == (MOUNTPOINT, [f"Error: {place} is not mounted"])
        os.kill(daemon, signal.SIGTERM)
        assert ended(daemon)
    assert left_behind(shell) == []


def test_a_mountpoint_that_somebody_outside_removes_ends_the_mount(reference: str, shell: Shell) -> None:
    """Linux detaches a mount from a directory that is removed where the mount is not seen."""
    place = shell.new_place()
    with mounted_in_a_namespace(reference, shell, place) as daemon:
        place.rmdir()
        place.mkdir()
        assert ended(daemon)
    with shell.mounted(reference, place=place) as mount:
        mount.umount()
    assert left_behind(shell) == []


def test_a_dead_mount_is_cleared_below_a_link_with_readers_and_a_mount_inside(reference: str, shell: Shell) -> None:
    parent, link = shell.new_place("parent"), shell.home / "link"
    (parent / "mnt").mkdir()
    link.symlink_to("parent")
    with shell.mounted(reference, place=parent / "mnt") as mount, mount.path("weights.bin").open("rb") as file:
        mount8("-t", "tmpfs", "none", mount.path("src"))
        killed(mount)
        ran = shell.run("mount", reference, link / "mnt", "--log-file", shell.home / "again.log")
        assert ran.exit_code == 0, ran
        assert shell.mounts() == [parent / "mnt"]
        assert wrong_files(parent / "mnt", KIT) == []
        assert refusal_of(lambda: os.pread(file.fileno(), 1, 0)) == "ENOTCONN"
        assert shell.run("umount", link / "mnt").exit_code == 0
