"""Properties: whatever the layer looks like, however it is read and whatever happens to its files, a byte is right or not there."""

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.cache.material import archive, drop_pages, flip, raw

examples = settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
sizes = st.integers(0, 9000) | st.sampled_from([MIB - 1, MIB, MIB + 1, MIB + 4096, 2 * MIB + 513])
layers = st.lists(sizes, max_size=5).map(lambda members: archive(*members)) | sizes.map(raw)
steps = st.lists(st.sampled_from(["read", "read_now", "drop pages", "forget", "reopen"]), min_size=1, max_size=12)


def some_range(data: st.DataObject, size_bytes: int) -> ByteRange:
    start = data.draw(st.integers(0, size_bytes))
    longest = data.draw(st.sampled_from([1, 5000, 300_000, size_bytes]))
    return ByteRange(start, data.draw(st.integers(start, min(size_bytes, start + longest))))


@given(layers, steps, st.data())
@examples
def test_a_layer_gives_its_bytes_in_every_order_of_events(cache: Cache, root: Path, material, steps, data) -> None:
    cache.drop(material.digest)
    stored = material.publish(cache)
    for step in steps:
        wanted = some_range(data, len(material.content))
        match step:
            case "read":
                assert material.is_right(wanted, stored.read(wanted))
            case "read_now":
                now = stored.read_now(wanted)
                assert now is None or material.is_right(wanted, now)
            case "drop pages":
                drop_pages(material.directory(root))
            case "forget":
                cache._shared.hot.clear()
            case "reopen":
                stored.close()
                stored = cache.layer(material.digest)
                assert stored is not None
    stored.close()


@given(layers, st.data())
@examples
def test_a_damaged_layer_gives_its_bytes_or_says_so(cache: Cache, root: Path, material, data) -> None:
    cache.drop(material.digest)
    stored = material.publish(cache)
    directory = material.directory(root)
    if data.draw(st.booleans(), label="read before"):
        stored.read(material.whole)
    drop_pages(directory)
    for name in data.draw(st.lists(st.sampled_from(sorted(os.listdir(directory))), min_size=1, unique=True)):
        path = directory / name
        size_bytes = path.stat().st_size
        at = data.draw(st.integers(0, size_bytes - 1))
        match data.draw(st.sampled_from(["flip", "cut", "zeros", "delete"])):
            case "flip":
                flip(path, at)
            case "cut":
                os.truncate(path, at)
            case "zeros":
                os.truncate(path, at)
                os.truncate(path, size_bytes)
            case "delete":
                path.unlink()
    drop_pages(directory)
    cache._shared.hot.clear()
    again = cache.layer(material.digest)
    for layer in (stored, again):
        for _ in range(4 if layer else 0):
            wanted = some_range(data, len(material.content))
            now = layer.read_now(wanted)
            assert now is None or material.is_right(wanted, now)
            try:
                assert material.is_right(wanted, layer.read(wanted))
            except Damaged:
                continue
    stored.close()
