"""Every way in which loaders read, cold and then warm, with what it cost the registry, the kernel and our daemon."""

import sys
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from bench.model import push_model
from bench.origin import Asked, Origin
from bench.payload import Payload
from bench.processes import anonymous_memory
from bench.reader import Read, read_once, started
from bench.report import Answer, Row, Table
from bench.scene import Scene
from bench.watching import Seen, Watch, watched
from bench.ways import WAYS
from mkfs.units import GIB, MIB, format_size

_FIRST: Final = "a1-1"  # the others are compared with it
_COLUMNS: Final = (
    "way",
    "cold s",
    "first piece s",
    "warm s",
    "asked MiB",
    "origin requests",
    "origin MiB",
    "origin ÷ shards",
    "FUSE reads",
    "daemon CPU s/GiB",
    "RssAnon MiB",
    "longest step ms",
    "by its CPU",
    "reader CPU s/GiB",
    "major faults",
    "FUSE reads when warm",
    "FUSE reads by size",
)


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """An empty cache and a fresh mount for each way; its second read finds what the first left in the page cache."""
    payload = push_model(scene, size_bytes)
    origin = Origin(scene.registry, scene.pusher)
    turns: dict[str, list[_Turn]] = {name: [] for name in WAYS}
    with watched(scene) as (stage, watch):
        for _ in range(rounds):
            for name, seen in turns.items():
                seen.append(_turn(stage, watch, origin, payload, name))
    scene.clear_cache()
    shard_bytes = sum(size for name, size in payload.sizes.items() if name.endswith(".safetensors"))
    first = Row(_name(_FIRST), "s, cold", [turn.cold.seconds for turn in turns[_FIRST]], shape="{:.3f}")
    others = [name for name in WAYS if name != _FIRST]
    return Answer(
        "patterns",
        f"{len(WAYS)} ways to read {format_size(shard_bytes)} of safetensors and a GGUF, nothing in the cache, loopback registry",
        (
            first,
            *(Row(_name(name), "s, cold", [turn.cold.seconds for turn in turns[name]], first, shape="{:.3f}") for name in others),
            *(Row(_name(name), "s, warm", [turn.warm.seconds for turn in turns[name]], shape="{:.3f}") for name in WAYS),
        ),
        (
            "the reader is a process of its own, started before; warm: another one, which opens the files again on the same mount",
            "table: medians, cold but where it says warm; of origin, kernel and daemon from the mount's end to the read's",
            "origin: requests and bytes of bodies by the registry's log; FUSE reads: by a hook in the daemon",
            "reader: all its processes and threads, which have started before; s/GiB: by what was asked for",
            f"a model of {format_size(payload.size_bytes)} with all files; reads of up to so many bytes each are counted together",
        ),
        Table(_COLUMNS, [(name, *_cells(seen, shard_bytes)) for name, seen in turns.items()]),
    )


@final
@dataclass(frozen=True, slots=True)
class _Turn:
    cold: Read
    warm: Read
    asked: Asked
    seen: Seen  # while it was cold
    seen_warm: Seen
    daemon_seconds: float  # CPU
    peak_bytes: int


def _turn(scene: Scene, watch: Watch, origin: Origin, payload: Payload, name: str) -> _Turn:
    scene.clear_cache()
    scene.settle()
    with scene.mounted(payload.kit) as mounted:
        with (
            started([sys.executable, "-m", "bench.reader", name]) as ready,
            anonymous_memory(mounted.mount.pid) as peak,
            origin.counting() as asked,
        ):
            before = mounted.cpu()
            watch.look()
            cold = ready.read(scene.mountpoint)
            used, seen = mounted.cpu().since(before).seconds, watch.look()
        warm = read_once(name, scene.mountpoint)
        return _Turn(cold, warm, asked, seen, watch.look(), used, peak.size_bytes)


def _name(way: str) -> str:
    return f"{way}: {WAYS[way].what}"


def _cells(turns: list[_Turn], shard_bytes: int) -> list[str]:
    """The table's cells of one way, without its name."""

    def middle(shape: str, values: list[float]) -> str:
        return shape.format(median(values))

    gibs = turns[0].cold.size_bytes / GIB

    def per_gib(values: list[float]) -> str:
        return f"{median(values) / gibs:.2f}" if gibs >= MIB / GIB else ""

    return [
        middle("{:.3f}", [turn.cold.seconds for turn in turns]),
        middle("{:.3f}", firsts)
        if (firsts := [turn.cold.first_seconds for turn in turns if turn.cold.first_seconds is not None])
        else "",
        middle("{:.3f}", [turn.warm.seconds for turn in turns]),
        middle("{:.1f}", [turn.cold.size_bytes / MIB for turn in turns]),
        middle("{:.0f}", [turn.asked.requests for turn in turns]),
        middle("{:.1f}", [turn.asked.mib for turn in turns]),
        middle("{:.3f}", [turn.asked.size_bytes / shard_bytes for turn in turns]),
        middle("{:.0f}", [turn.seen.read_requests for turn in turns]),
        per_gib([turn.daemon_seconds for turn in turns]),
        middle("{:.0f}", [turn.peak_bytes / MIB for turn in turns]),
        middle("{:.1f}", [turn.seen.longest_seconds * 1000 for turn in turns]),
        middle("{:.1f}", [turn.seen.longest_cpu_seconds * 1000 for turn in turns]),
        per_gib([turn.cold.cpu_seconds for turn in turns]),
        middle("{:.0f}", [turn.cold.major_faults for turn in turns]),
        middle("{:.0f}", [turn.seen_warm.read_requests for turn in turns]),
        turns[-1].seen.histogram(),
    ]
