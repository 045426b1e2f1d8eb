"""What a chunk index is worth to random reads, what it weighs, and the memory it takes to make one."""

import os
import random
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.chunk_index import NOT_AVAILABLE, TRUSTING, is_available, run_index
from bench.origin import Origin
from bench.payload import push_shards
from bench.report import Answer, Row
from bench.scene import Scene
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody
from mkfs.units import KIB, MIB, format_size

_READS: Final = 200
_READ_BYTES: Final = 4 * KIB
_PAGE_BYTES: Final = 4 * KIB
_SIZE_PERCENT: Final = 0.01
_MEMORY_MIB: Final = 64


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """One tar layer of `size_bytes`."""
    title = f"one tar layer of {format_size(size_bytes)} with a chunk index, {_READS} reads of 4 KiB at random places"
    if not is_available(scene):
        return Answer("index", title, (), (NOT_AVAILABLE,))
    large, small = push_shards(scene, size_bytes, 1), push_shards(scene, _PAGE_BYTES, 1)
    file = scene.directory / "index"
    build, push, share = list[float](), list[float](), 0.0
    for _ in range(rounds):
        idle_bytes = run_index(scene, "build", small.kit, "-o", file)
        file.unlink()
        build.append((run_index(scene, "build", large.kit, "-o", file) - idle_bytes) / MIB)
        share = file.stat().st_size / large.last.body.size_bytes * 100
        file.unlink()
        idle_bytes = run_index(scene, "push", small.kit)
        push.append((run_index(scene, "push", large.kit) - idle_bytes) / MIB)
    origin = Origin(scene.registry, scene.pusher)
    requests, mib, seconds = list[float](), list[float](), list[float]()
    for number in range(rounds):
        scene.clear_cache()
        scene.settle()
        with scene.mounted(large.kit, *TRUSTING), origin.counting() as asked:
            seconds.append(_read_at_random(scene.mountpoint / large.last_name, large.content, seed=number))
        requests.append(asked.requests)
        mib.append(asked.mib)
    return Answer(
        "index",
        title,
        (
            Row("random reads, from the registry", "chunks (MiB)", mib, limit=_READS, shape="{:.1f}"),
            Row("random reads, requests", "", requests, shape="{:.0f}"),
            Row("random reads", "s", seconds),
            Row("size of the index", "% of the layer", [share], limit=_SIZE_PERCENT, shape="{:.4f}"),
            Row("kitfs index build, RssAnon above idle", "MiB", build, limit=_MEMORY_MIB, shape="{:.0f}"),
            Row("kitfs index push, RssAnon above idle", "MiB", push, limit=_MEMORY_MIB, shape="{:.0f}"),
        ),
        ("idle: the peak of the same command for a layer of 4 KiB",),
    )


def _read_at_random(path: Path, content: BlobBody, seed: int) -> float:
    """Seconds for all reads, one after another; what came is checked afterwards."""
    chosen = random.Random(seed)
    pages = content.size_bytes // _PAGE_BYTES
    wanted = [ByteRange(start, start + _READ_BYTES) for start in (chosen.randrange(pages) * _PAGE_BYTES for _ in range(_READS))]
    descriptor = os.open(path, os.O_RDONLY)
    started = perf_counter()
    got = [os.pread(descriptor, each.length, each.start) for each in wanted]
    seconds = perf_counter() - started
    os.close(descriptor)
    assert got == [content.read(each) for each in wanted], "wrong bytes"
    return seconds
