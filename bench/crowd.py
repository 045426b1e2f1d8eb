"""What eight processes cost that read the same files at the same time, beside one."""

from typing import Final

from bench.mapped import cold_read
from bench.model import push_model
from bench.origin import Origin
from bench.reader import Read
from bench.report import Answer, Row
from bench.scene import Scene
from mkfs.units import format_size

_ONE, _EIGHT = "a1-1", "all-8"
_PROCESSES: Final = 8
_TIME_RATIO: Final = 1.3
_ORIGIN_RATIO: Final = 1.02


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """An empty cache and a fresh mount for every turn."""
    payload = push_model(scene, size_bytes)
    origin = Origin(scene.registry, scene.pusher)
    turns: dict[str, list[Read]] = {_ONE: [], _EIGHT: []}
    sent: dict[str, list[float]] = {_ONE: [], _EIGHT: []}
    for _ in range(rounds):
        for way, seen in turns.items():
            with origin.counting() as asked:
                seen.append(cold_read(scene, payload, way))
            sent[way].append(asked.size_bytes)
    scene.clear_cache()
    files = [turn.size_bytes for turn in turns[_ONE]]
    one = Row("one process", "s", [turn.seconds for turn in turns[_ONE]])
    return Answer(
        "processes",
        f"{_PROCESSES} processes, each reads all of {format_size(files[0])} of safetensors, nothing in the cache",
        (
            Row("8 processes", "s", [turn.seconds for turn in turns[_EIGHT]], one, ratio_limit=_TIME_RATIO),
            one,
            *(
                Row(
                    f"origin bytes ÷ file bytes, {name}",
                    "",
                    [count / size for count, size in zip(sent[way], files, strict=True)],
                    limit=_ORIGIN_RATIO,
                    shape="{:.3f}",
                )
                for name, way in (("8 processes", _EIGHT), ("one process", _ONE))
            ),
        ),
        (
            "origin bytes: what the registry sent from before the mount to the end of the read, small files included",
            "the processes have started before",
        ),
    )
