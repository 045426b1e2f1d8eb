"""A cache that is hurt under a real mount, or before it: every byte is right, no more than that is asked of the disk.

`test_garbage` has every file of the cache and every damage, without a kernel; here are the damages that a reader of a mount could
meet, what a dead process, a power failure or another version left, and a clock that jumps.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import MIB
from tests.cache.material import flip, lose_pages
from tests.faults.machine import Remote, remote, until
from tests.faults.oracle import attempt, judge_words, read, run
from tests.faults.test_garbage import (
    another_owner,
    bit_flip,
    deletion,
    no_permission,
    symlink_swap,
    truncation,
    zero_tail,
)
from tests.faults.world import copied, layer, place
from tests.support.mounting import Mount, Shell, ended

pytestmark = [pytest.mark.fuse, pytest.mark.fault("K")]

# A root who has to obey modes, else chmod would be no fault.
OBEDIENT = ("setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search")
FETCHED_AGAIN = "are damaged and will be fetched again"


@dataclass(frozen=True)
class Template:
    """A cache with a published and a partial layer, whatever is in a registry for it."""

    here: Remote
    cache: Path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    builder = KitBuilder("cache", seed=44).model("model.bin", 3 * MIB + 77, raw=True).docs("README.md", b"# c\n")
    kit = builder.part("partial", Directory({"p.bin": 2 * MIB + 1, "q.txt": 700})).build()
    shell = Shell(tmp_path_factory.mktemp("template") / "home")
    with serve(MemoryRegistry()) as server:
        here = remote(server.registry, server, kit)
        assert shell.run("warmup", here.reference).exit_code == 0
        shutil.rmtree(place(shell.cache, "layers", layer(kit, "partial")))
        with shell.mounted(here.reference) as mount:
            assert mount.path("partial/q.txt").read_bytes() == here.files["partial/q.txt"]
        assert place(shell.cache, "partial", layer(kit, "partial")).is_dir()
        yield Template(here, shell.cache)


@pytest.fixture
def here(template: Template, shell: Shell) -> Remote:
    """Its kit, and a copy of it in the shell's cache."""
    copied(template.cache, shell.cache)
    return template.here


# --- files that are hurt

Find = Callable[[Path, Kit], Path]
FILES: dict[str, Find] = {
    "chunk": lambda root, kit: place(root, "layers", layer(kit, "model.bin")) / "1",
    "index": lambda root, kit: place(root, "layers", layer(kit, "model.bin")) / "index",
    "ledger": lambda root, kit: place(root, "partial", layer(kit, "partial")) / "ledger",
    "lock": lambda root, kit: place(root, "locks", layer(kit, "partial")),
}
DAMAGES = {
    "truncated": truncation,
    "zero tail": zero_tail,
    "deleted": deletion,
    "mode 0": no_permission,
    "another owner": another_owner,
    "a symbolic link": symlink_swap,
}
CASES = {
    **{f"a bit of the {name}": (find, bit_flip) for name, find in FILES.items()},
    **{f"the chunks, {name}": (FILES["chunk"], damage) for name, damage in DAMAGES.items()},
}


def hurt(path: Path, damage: Callable[[Path, Path], None], elsewhere: Path) -> None:
    """Hurts the file as a disk would: what the page cache knew of it is gone."""
    lose_pages(path)
    damage(path, elsewhere)
    lose_pages(path)


def mount_obediently(here: Remote, shell: Shell) -> Mount:
    place = shell.new_place()
    ran = shell.run("mount", here.reference, place, around=OBEDIENT)
    assert ran.exit_code == 0, ran
    (daemon,) = shell.processes()
    return Mount(shell, place, ran, daemon)


@pytest.mark.parametrize(
    ("find", "damage", "when"),
    [pytest.param(*CASES[case], when, id=f"{case}, {when} it is mounted") for case, when in product(CASES, ["before", "while"])],
)
def test_a_file_that_is_hurt(here: Remote, shell: Shell, find: Find, damage: Callable[[Path, Path], None], when: str) -> None:
    path, elsewhere = find(shell.cache, here.kit), shell.home / "elsewhere"
    if when == "before":
        hurt(path, damage, elsewhere)
        mount = mount_obediently(here, shell)
    else:
        mount = mount_obediently(here, shell)
        hurt(path, damage, elsewhere)
    fetched_bytes = here.registry.bytes_sent(layer(here.kit, "model.bin").digest)
    led_to = elsewhere.read_bytes() if elsewhere.exists() else None
    try:
        here.reads_right(shell, mount)
        mount.umount()
    finally:
        mount.end()
    here.is_right_afterwards(shell, mount)
    if path.name == "1":
        assert here.registry.bytes_sent(layer(here.kit, "model.bin").digest) > fetched_bytes  # somebody noticed
    assert led_to is None or elsewhere.read_bytes() == led_to


# --- what was left


def test_a_power_failure_that_kept_all_data_from_the_disk(here: Remote, shell: Shell) -> None:
    """Names, sizes and indexes are there, and nothing but zeros in the chunks."""
    for kind in ("layers", "partial"):
        for path in (shell.cache / kind).rglob("*"):
            if path.is_file() and path.name not in {"index", "ledger"}:
                size_bytes = path.stat().st_size
                os.truncate(path, 0)
                os.truncate(path, size_bytes)
                lose_pages(path)
    outcome = attempt(shell, here.reference, here.files)
    assert (outcome.exit_code, outcome.errors) == (0, {})
    assert FETCHED_AGAIN in outcome.log
    assert run(shell, "cache", "verify").exit_code == 0


def has_received(cache: Path, chunks: int, of_chunks: int) -> bool:
    """Whether somebody's staging has the first `chunks` of a layer at least; a file may go while it is looked at."""
    with suppress(FileNotFoundError):
        ledgers = [path.read_bytes() for path in cache.glob("staging/*/ledger")]
        return any(ledger[-of_chunks:].startswith(b"\1" * chunks) for ledger in ledgers)
    return False


def test_a_bit_of_what_a_killed_process_had_received(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = KitBuilder("large", seed=45).model("large.bin", 18 * MIB + 5, raw=True).build()
    large = remote(registry, server, kit)
    with shell.mounted(large.reference) as mount:
        stall = large.hold("large.bin", 10 * MIB)
        with subprocess.Popen(["cat", mount.path("large.bin")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            try:
                until(lambda: has_received(shell.cache, 8, of_chunks=19))
                os.kill(mount.pid, signal.SIGKILL)
                assert ended(mount.pid)
            finally:
                stall.release()
                registry.faults.mend_all()
        (staged,) = shell.cache.glob("staging/*/1")
        hurt(staged, lambda path, _: flip(path, MIB + 5), shell.home)
        large.is_right_afterwards(shell, mount)
        assert "does not match its digest with what an earlier fetch had left of it" in mount.log_file.read_text()


def test_staging_of_a_dead_process_with_garbage_in_it(here: Remote, shell: Shell) -> None:
    staging = shell.cache / "staging"
    digest = layer(here.kit, "partial").digest
    for name in ("e" * 32, f"{'f' * 32}.{digest.algorithm}.{digest.hex}", f"{'a' * 32}.gone"):
        (staging / name).mkdir(mode=0o700)
        for file in ("index", "ledger", "rest", "1"):
            (staging / name / file).write_bytes(b"\x55" * 5000)
    (staging / ("b" * 32)).write_bytes(b"a document, half")
    outcome = attempt(shell, here.reference, here.files)
    assert (outcome.exit_code, outcome.errors) == (0, {})
    assert run(shell, "cache", "prune").exit_code == 0
    assert os.listdir(staging) == []


# --- another version


def test_a_cache_of_version_1_is_taken_over(here: Remote, shell: Shell) -> None:
    (shell.cache / "version").write_text("mkfs cache 1\n")
    for name in ("partial", "indexes", "grants", "resolutions", "locks"):
        shutil.rmtree(shell.cache / name)
    outcome = attempt(shell, here.reference, here.files)
    assert (outcome.exit_code, outcome.errors) == (0, {})
    assert (shell.cache / "version").read_text() == "mkfs cache 2\n"


def test_a_version_that_changes_under_a_mount(here: Remote, shell: Shell) -> None:
    """Somebody else took the cache over: who has it open reads on, who comes is refused and touches nothing."""
    with shell.mounted(here.reference) as mount:
        (shell.cache / "version").write_text("mkfs cache 9\n")
        here.reads_right(shell, mount)
        other = run(shell, "mount", here.reference, shell.new_place("other"))
        assert (other.exit_code, "of another version" in other.stderr) == (23, True)
        mount.umount()
    assert (shell.cache / "version").read_text() == "mkfs cache 9\n"


# --- a clock that jumps

JUMPING = """
import time
_real, _file = time.time, {file!r}
def _jumped():
    with open(_file) as file:
        return _real() + float(file.read())
time.time = _jumped
"""
YEARS_10 = 10 * 365 * 86400


@pytest.mark.parametrize("seconds", [YEARS_10, -YEARS_10], ids=["ten years forward", "ten years back"])
def test_a_clock_that_jumps_while_it_is_mounted(here: Remote, shell: Shell, seconds: int) -> None:
    clock = shell.home / "clock"
    (clock / "sitecustomize.py").parent.mkdir()
    (clock / "sitecustomize.py").write_text(JUMPING.format(file=str(clock / "offset")))
    (clock / "offset").write_text("0")
    jumping = Shell(shell.home, {"PYTHONPATH": f"{shell.variables()['PYTHONPATH']}:{clock}"})
    with jumping.mounted(here.reference) as mount:
        assert read(shell, mount.place, {"README.md": here.files["README.md"]}) == {}
        (clock / "offset").write_text(str(seconds))
        here.reads_right(shell, mount)
        mount.umount()
        there = (datetime.now(UTC) + timedelta(seconds=seconds)).year
        assert f"{there}-" in mount.log_file.read_text()
    for offset in (seconds, 0):
        (clock / "offset").write_text(str(offset))
        outcome = attempt(jumping, here.reference, here.files)
        assert (outcome.exit_code, outcome.errors) == (0, {})
    judge_words(mount.log_file.read_text(), str(mount.log_file))
    assert run(jumping, "cache", "verify").exit_code == 0
