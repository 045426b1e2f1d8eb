"""A turn of ours: empty cache, fresh mount, everything read, and what that cost."""

from dataclasses import dataclass
from time import perf_counter
from typing import final

from bench.memory import page_cache_bytes
from bench.payload import Payload
from bench.processes import Cpu, anonymous_memory
from bench.reading import files_below, read_all
from bench.routes import Route
from bench.scene import Failed, Scene


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """What was seen. `cpu` is the daemon's while it was read, `grown` what the page cache of the machine grew by per byte read."""

    mount_seconds: float
    read_seconds: float
    cpu: Cpu
    registry_seconds: float  # CPU
    peak_bytes: int  # of RssAnon
    grown: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.mount_seconds + self.read_seconds


def turn(scene: Scene, payload: Payload, route: Route, *options: str) -> Turn:
    """Mounts with `options` and reads all files, one after another. Raises `Failed` where bytes are missing."""
    scene.clear_cache()
    scene.settle()
    registry, pages = scene.registry_cpu(), page_cache_bytes()
    with scene.mounted(route.reference(payload.kit), *options) as mounted:
        before = mounted.cpu()
        with anonymous_memory(mounted.mount.pid) as peak:
            started = perf_counter()
            count = read_all(files_below(scene.mountpoint))
            seconds = perf_counter() - started
        used = mounted.cpu().since(before)
        grown = page_cache_bytes() - pages
    if count < payload.size_bytes:
        raise Failed(f"{count} bytes came, expected {payload.size_bytes} and more")
    used_there = scene.registry_cpu().since(registry).seconds
    return Turn(mounted.seconds, seconds, used, used_there, peak.size_bytes, grown / count)
