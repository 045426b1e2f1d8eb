"""A process that runs out of descriptors closes what it only keeps open for later, and goes on reading."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.material import raw

LAYERS = 12
DESCRIPTORS = LAYERS + 6  # of ours: a directory each, and three files (two descriptors each), where all would be twelve


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """This process gets so many more. Others of it are below the limit's number, wherever they are."""
    gc.collect()  # descriptors of garbage would be closed at any moment, and be more than that
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        free = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
        for descriptor in free:
            os.close(descriptor)
        yield


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    cache = Cache.open(tmp_path / "cache", min_free_ratio=0)
    yield cache
    cache.close()


def test_more_layers_are_read_than_there_are_descriptors_for_their_files(cache: Cache) -> None:
    materials = [raw(MIB + 5, seed=number) for number in range(LAYERS)]
    for material in materials:
        material.publish(cache).close()
    with descriptors_left(DESCRIPTORS):
        stored = [cache.layer(material.digest) for material in materials]
        for _ in range(2):
            for layer, material in zip(stored, materials, strict=True):
                assert layer is not None
                cache._shared.hot.clear()
                assert layer.read(ByteRange(0, 100)) == material.content[:100]
    for layer in stored:
        assert layer is not None
        layer.close()


def test_where_that_does_not_help_the_reader_is_told_and_nothing_is_dropped(cache: Cache) -> None:
    material = raw(MIB + 5)
    material.publish(cache).close()
    stored = cache.layer(material.digest)
    assert stored is not None
    with descriptors_left(1), pytest.raises(CacheUnusable, match="Too many open files"):
        stored.read(ByteRange(0, 100))
    assert stored.read(ByteRange(0, 100)) == material.content[:100]
    assert cache.statistics().damaged == 0
    stored.close()
