"""Pages given back behind readers: memory holds what was read once, not twice, and nobody gets a wrong byte for it."""

import os
from pathlib import Path

import pytest

from mkfs.cache.behind import _LAG_STEPS, _STEP_BYTES
from mkfs.cache.store import Cache
from mkfs.cache.stored import StoredLayer
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.cache.disks import residents
from tests.cache.material import Material, archive, open_descriptors, raw

PAGE = 4 * KIB
LONG = raw((_LAG_STEPS + 3) * _STEP_BYTES + 5 * MIB)
MANY = archive(*[MIB + MIB // 2] * 12)  # 18 MiB in files that are smaller than a step


@pytest.fixture
def cache(cache: Cache) -> Cache:
    """One whose file system has what this is about."""
    if cache.abilities.page_cache is None:
        pytest.skip("this file system answers nothing from the page cache")
    return cache


def received(cache: Cache, root: Path, material: Material) -> StoredLayer:
    """Just received, all its pages in memory, and on the disk already: they can be given back at once."""
    staging = cache.stage(material.blob, material.grid)
    staging.write(0, material.content)
    stored = staging.publish(material.index)
    stored.read(ByteRange(0, 1))
    for path in material.directory(root).iterdir():
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
    return stored


def read_through(cache: Cache, stored: StoredLayer, material: Material, *wanted: ByteRange) -> None:
    """Reads all of it as the kernel asks, or what is wanted; then waits until what is to be given back was."""
    for each in wanted or material.whole.pieces(128 * KIB):
        assert material.is_right(each, stored.read_now(each) or stored.read(each))
    cache._shared.behind.close()


def bytes_in_memory(root: Path, material: Material) -> int:
    return sum(residents(path) * PAGE for path in material.directory(root).iterdir() if path.name != "index")


@pytest.mark.parametrize("material", [LONG, MANY], ids=["a large file", "many small ones"])
def test_a_reader_leaves_no_second_copy_in_memory(cache: Cache, root: Path, material: Material) -> None:
    stored = received(cache, root, material)
    assert bytes_in_memory(root, material) >= material.whole.length
    read_through(cache, stored, material)
    assert bytes_in_memory(root, material) < _STEP_BYTES + MIB


def test_what_was_given_back_comes_from_the_disk_and_is_hashed(cache: Cache, root: Path) -> None:
    stored = received(cache, root, LONG)
    read_through(cache, stored, LONG)
    assert cache.statistics().hashed_chunks == 0
    read_through(cache, stored, LONG, ByteRange(3 * MIB, 3 * MIB + 10))
    assert cache.statistics().hashed_chunks == 1


def test_what_was_read_in_part_stays(cache: Cache, root: Path) -> None:
    stored = received(cache, root, LONG)
    read_through(cache, stored, LONG, *(ByteRange(start, start + MIB - 1) for start in range(0, LONG.whole.stop, MIB)))
    assert bytes_in_memory(root, LONG) >= LONG.whole.length


def test_advice_is_given_twice_as_the_disk_needs_its_time(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = received(cache, root, LONG)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, start, length, advice: given.append((start, length)))
    read_through(cache, stored, LONG)
    steps = [(start, _STEP_BYTES) for start in range(0, LONG.whole.stop - _STEP_BYTES + 1, _STEP_BYTES)]
    assert sorted(given) == sorted(steps + steps[:-_LAG_STEPS])
    assert [step for number, step in enumerate(given) if step not in given[:number]] == steps


def test_files_are_not_kept_open_for_it(cache: Cache, root: Path) -> None:
    raw(10).publish(cache).close()  # from here on the cache has its own directories open
    before = open_descriptors()
    stored = received(cache, root, LONG)
    read_through(cache, stored, LONG)
    stored.close()
    del stored
    assert open_descriptors() == before
