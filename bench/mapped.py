"""What page faults cost: a model walked tensor by tensor in the order of their names, cold, beside our own read of it in order."""

from typing import Final

from bench.model import push_model
from bench.payload import Payload
from bench.reader import Read, read_once
from bench.report import Answer, Row
from bench.scene import Scene
from mkfs.units import format_size

_SEQUENTIAL: Final = "a1-1"
_WALKS: Final = {"1 thread": "c-1", "4 threads": "c-4", "32 threads": "c-32"}
_RATIO: Final = 1.2  # of the read in order
_THREADS_RATIO: Final = 1.0  # of one thread


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """An empty cache and a fresh mount for every turn, the reader a process that has started before."""
    payload = push_model(scene, size_bytes)
    turns: dict[str, list[Read]] = {way: [] for way in (_SEQUENTIAL, *_WALKS.values())}
    for _ in range(rounds):
        for way, seen in turns.items():
            seen.append(cold_read(scene, payload, way))
    scene.clear_cache()
    sequential = Row("files in order", "s", [turn.seconds for turn in turns[_SEQUENTIAL]])
    walks = {
        name: Row(f"mapped, key order, {name}", "s", [turn.seconds for turn in turns[way]], sequential, ratio_limit=_RATIO)
        for name, way in _WALKS.items()
    }
    one, many = walks["1 thread"], walks["32 threads"]
    return Answer(
        "mmap",
        f"{format_size(payload.size_bytes)} of safetensors, nothing in the cache, loopback registry, read without the mount",
        (
            sequential,
            *walks.values(),
            Row("mapped, key order, 32 threads", "s", many.values, one, ratio_limit=_THREADS_RATIO),
            *(
                Row(f"major faults, {name}", "", [turn.major_faults for turn in turns[way]], shape="{:.0f}")
                for name, way in _WALKS.items()
            ),
        ),
        (
            "files in order: 16 MiB at a time, one thread",
            "mapped: private mappings as torch makes them, each tensor copied out in pieces of 1 MiB, shard by shard",
            "the faults of threads are waited for at the same time: copies run without the interpreter's lock",
        ),
    )


def cold_read(scene: Scene, payload: Payload, way: str) -> Read:
    """Reads a fresh mount of the model, with nothing in the cache."""
    scene.clear_cache()
    scene.settle()
    with scene.mounted(payload.kit):
        return read_once(way, scene.mountpoint)
