"""How long the first read of a kit takes, beside `oras pull` of the same bytes, and what it costs in CPU and memory."""

from time import perf_counter
from typing import Final

from bench.payload import Payload, push_payload
from bench.processes import anonymous_memory
from bench.reading import files_below, read_all, sums
from bench.report import Answer, Row
from bench.scene import Failed, Scene
from mkfs.units import GIB, MIB, format_size

_RATIO: Final = 1.5
_ANONYMOUS_MIB: Final = 150


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Mount and read everything, with nothing in the cache; pull everything and read it; turn by turn."""
    payload = push_payload(scene, size_bytes)
    ours, theirs = _Ours(), _Theirs()
    for _ in range(rounds):
        theirs.turn(scene, payload)
        ours.turn(scene, payload)
    _check(scene, payload)
    total = Row("oras pull + read", "s", theirs.total)
    cpu = Row("oras, CPU", "s/GiB", theirs.cpu)
    registry = Row("registry, CPU for oras", "s/GiB", theirs.registry)
    return Answer(
        "cold",
        f"{format_size(payload.size_bytes)} in 4 raw shards and small files, nothing in the cache, loopback registry",
        (
            Row("mount + read", "s", ours.total, total, ratio_limit=_RATIO),
            Row("  of which mount", "s", ours.mount),
            Row("  of which read", "s", ours.read),
            total,
            Row("  of which pull", "s", theirs.pull),
            Row("  of which read", "s", theirs.read),
            Row("mount + read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in ours.total]),
            Row("oras pull + read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in theirs.total]),
            Row("daemon, CPU", "s/GiB", [user + system for user, system in ours.cpu], cpu),
            Row("  of which user", "s/GiB", [user for user, _ in ours.cpu]),
            Row("  of which system", "s/GiB", [system for _, system in ours.cpu]),
            cpu,
            Row("registry, CPU for us", "s/GiB", ours.registry, registry),
            registry,
            Row("daemon, peak of RssAnon", "MiB", ours.peak, limit=_ANONYMOUS_MIB, shape="{:.0f}"),
        ),
        (
            "reads are 16 MiB, one after another, files in the order of their names; the registry's files are in the page cache",
            "checked once, not timed: what was read has the sha256 of what was pushed, ours and theirs",
        ),
    )


class _Ours:
    """A turn of ours, and what was seen."""

    def __init__(self) -> None:
        self.total: list[float] = []
        self.mount: list[float] = []
        self.read: list[float] = []
        self.cpu: list[tuple[float, float]] = []  # user, system
        self.registry: list[float] = []
        self.peak: list[float] = []

    def turn(self, scene: Scene, payload: Payload) -> None:
        """Empty cache, fresh mount, everything read."""
        scene.clear_cache()
        scene.settle()
        registry = scene.registry_cpu()
        with scene.mounted(payload.kit) as mounted:
            before = mounted.cpu()
            with anonymous_memory(mounted.mount.pid) as peak:
                started = perf_counter()
                count = read_all(files_below(scene.mountpoint))
                seconds = perf_counter() - started
            used = mounted.cpu().since(before)
        if count < payload.size_bytes:
            raise Failed(f"{count} bytes came, expected {payload.size_bytes} and more")
        gibs = payload.size_bytes / GIB
        self.total.append(mounted.seconds + seconds)
        self.mount.append(mounted.seconds)
        self.read.append(seconds)
        self.cpu.append((used.user / gibs, used.system / gibs))
        self.registry.append(scene.registry_cpu().since(registry).seconds / gibs)
        self.peak.append(peak.size_bytes / MIB)


class _Theirs:
    """A turn of oras, and what was seen."""

    def __init__(self) -> None:
        self.total: list[float] = []
        self.pull: list[float] = []
        self.read: list[float] = []
        self.cpu: list[float] = []
        self.registry: list[float] = []

    def turn(self, scene: Scene, payload: Payload) -> None:
        """Empty directory, everything pulled, everything read."""
        scene.clear_pulled()
        scene.settle()
        registry = scene.registry_cpu()
        pulled = scene.pull(payload.artifact)
        started = perf_counter()
        count = read_all(files_below(pulled.place))
        seconds = perf_counter() - started
        scene.clear_pulled()
        if count != payload.size_bytes:
            raise Failed(f"{count} bytes came, expected {payload.size_bytes}")
        gibs = payload.size_bytes / GIB
        self.total.append(pulled.seconds + seconds)
        self.pull.append(pulled.seconds)
        self.read.append(seconds)
        self.cpu.append(pulled.cpu_seconds / gibs)
        self.registry.append(scene.registry_cpu().since(registry).seconds / gibs)


def _check(scene: Scene, payload: Payload) -> None:
    scene.clear_cache()
    with scene.mounted(payload.kit):
        read = sums(scene.mountpoint)
    del read["Kitfile"]  # ours alone
    pulled = sums(scene.pull(payload.artifact).place)
    scene.clear_pulled()
    for found in (read, pulled):
        if found != payload.sums:
            raise Failed(f"wrong bytes: {found.items() ^ payload.sums.items()}")
