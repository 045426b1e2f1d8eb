"""How long the first read of a kit takes, beside two who pull, prove and read the same bytes, and its cost in CPU and memory."""

import os
import shutil
import subprocess
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.lag import Lag, watched
from bench.memory import page_cache_bytes
from bench.payload import Payload, push_payload
from bench.processes import anonymous_memory
from bench.reading import files_below, read_all, sums
from bench.report import Answer, Row
from bench.scene import Failed, Scene, program
from mkfs.units import GIB, MIB, format_size

_RATIO: Final = 1.0  # of oras pull + read
_CURL_RATIO: Final = 0.77  # of curl, openssl and read: 1.3 times as fast
_CPU_SECONDS: Final = 2.2  # per GiB
_ANONYMOUS_MIB: Final = 150
_PAGE_CACHE: Final = 1.2  # bytes that the page cache grows by, per byte read
_STEP_MILLISECONDS: Final = 10


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Mount and read everything, with nothing in the cache; pull everything and read it; turn by turn."""
    payload = push_payload(scene, size_bytes)
    ours, theirs, curl = _Ours(), _Theirs(), _Curl()
    for _ in range(rounds):
        theirs.turn(scene, payload)
        curl.turn(scene, payload)
        ours.turn(scene, payload)
    lag = _watched_turn(scene, payload)
    _check(scene, payload)
    total = Row("oras pull + read", "s", theirs.total)
    plain = Row("curl to files + openssl + read", "s", curl.total)
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
            Row("mount + read", "s", ours.total, plain, ratio_limit=_CURL_RATIO),
            plain,
            Row("mount + read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in ours.total]),
            Row("oras pull + read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in theirs.total]),
            Row("daemon, CPU", "s/GiB", [user + system for user, system in ours.cpu], cpu, limit=_CPU_SECONDS),
            Row("  of which user", "s/GiB", [user for user, _ in ours.cpu]),
            Row("  of which system", "s/GiB", [system for _, system in ours.cpu]),
            cpu,
            Row("curl + openssl, CPU", "s/GiB", curl.cpu),
            Row("registry, CPU for us", "s/GiB", ours.registry, registry),
            registry,
            Row("daemon, peak of RssAnon", "MiB", ours.peak, limit=_ANONYMOUS_MIB, shape="{:.0f}"),
            Row("page cache, growth per byte read", "", ours.page_cache, limit=_PAGE_CACHE),
            Row("loop, longest step", "ms", [lag.longest_seconds * 1000], limit=_STEP_MILLISECONDS),
            Row("loop, longest step by its CPU", "ms", [lag.longest_cpu_seconds * 1000], limit=_STEP_MILLISECONDS),
            Row("loop, steps over 10 ms", "", [lag.long], shape="{:.0f}"),
        ),
        (
            "reads are 16 MiB, one after another, files in the order of their names; the registry's files are in the page cache",
            "checked once, not timed: what was read has the sha256 of what was pushed, ours and theirs",
            "page cache: of the whole machine (/proc/meminfo), from before the mount to the end of the read",
            "loop: what a task of the daemon does between two awaits, in a turn of its own; waits for a core are not its CPU's",
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
        self.page_cache: list[float] = []

    def turn(self, scene: Scene, payload: Payload) -> None:
        """Empty cache, fresh mount, everything read."""
        scene.clear_cache()
        scene.settle()
        registry, pages = scene.registry_cpu(), page_cache_bytes()
        with scene.mounted(payload.kit) as mounted:
            before = mounted.cpu()
            with anonymous_memory(mounted.mount.pid) as peak:
                started = perf_counter()
                count = read_all(files_below(scene.mountpoint))
                seconds = perf_counter() - started
            used = mounted.cpu().since(before)
            grown = page_cache_bytes() - pages
        if count < payload.size_bytes:
            raise Failed(f"{count} bytes came, expected {payload.size_bytes} and more")
        gibs = payload.size_bytes / GIB
        self.total.append(mounted.seconds + seconds)
        self.mount.append(mounted.seconds)
        self.read.append(seconds)
        self.cpu.append((used.user / gibs, used.system / gibs))
        self.registry.append(scene.registry_cpu().since(registry).seconds / gibs)
        self.peak.append(peak.size_bytes / MIB)
        self.page_cache.append(grown / count)


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


class _Curl:
    """A turn of curl, openssl and a reader, and what was seen."""

    def __init__(self) -> None:
        self.total: list[float] = []
        self.cpu: list[float] = []

    def turn(self, scene: Scene, payload: Payload) -> None:
        """Empty directory; file after file fetched whole and hashed; then everything read."""
        scene.settle()
        place = scene.directory / "plain"
        place.mkdir()
        before, started = os.times(), perf_counter()
        for name, digest in payload.sums.items():
            url = f"http://{scene.registry.host}/v2/{payload.repository}/blobs/sha256:{digest}"
            fetched: list[str | Path] = [program("curl"), "--silent", "--fail", "--output", place / name, url]
            subprocess.run(fetched, check=True)
            hashed: list[str | Path] = [program("openssl"), "dgst", "-sha256", place / name]
            if digest not in subprocess.run(hashed, capture_output=True, text=True, check=True).stdout:
                raise AssertionError(f"wrong bytes: {name}")
        count = read_all(files_below(place))
        seconds, after = perf_counter() - started, os.times()
        shutil.rmtree(place)
        used = after.children_user - before.children_user + after.children_system - before.children_system
        if count != payload.size_bytes:
            raise AssertionError(f"{count} bytes came, expected {payload.size_bytes}")
        self.total.append(seconds)
        self.cpu.append(used / (payload.size_bytes / GIB))


def _watched_turn(scene: Scene, payload: Payload) -> Lag:
    """A turn of ours that is not timed: the hook costs a little."""
    scene.clear_cache()
    scene.settle()
    with watched(scene) as (stage, lag), stage.mounted(payload.kit):
        read_all(files_below(stage.mountpoint))
    return lag


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
