"""How long the first read of a kit takes, beside those who pull, prove and read the same bytes, and its cost in CPU and memory."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from bench import ours
from bench.chunk_index import NOT_AVAILABLE, TRUSTING, is_available, run_index
from bench.origin import Asked, Origin
from bench.payload import Payload, push_payload, push_payload_tars
from bench.peers import CURL, ORAS, RANGES, Field, pulling, rclone_mounts
from bench.reading import drop_pages, files_below, read_all, sums
from bench.report import Answer, Row
from bench.routes import loopback
from bench.scene import Failed, Scene
from bench.watching import Seen, watched
from mkfs.units import GIB, MIB, format_size

# How many times as long as ours a peer may take at least.
_LEAST_RATIOS: Final = {ORAS.name: 1.0, CURL.name: 1.3, "kit pull + unpack": 1.4}
_INDEXED_RATIO: Final = 0.9  # curl's ranges beside ours with a chunk index
_CPU_SECONDS: Final = 2.2  # per GiB
_ANONYMOUS_MIB: Final = 150
_PAGE_CACHE: Final = 1.2  # bytes that the page cache grows by, per byte read
_STEP_MILLISECONDS: Final = 10


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Mount and read everything, with nothing in the cache; pull everything and read it; turn by turn."""
    payload = push_payload(scene, size_bytes)
    here = loopback(scene)
    origin = Origin(scene.registry, scene.pusher)
    turns, indexed, disk, asked = list[ours.Turn](), list[ours.Turn](), list[float](), list[Asked]()
    has_index = is_available(scene)
    if has_index:
        run_index(scene, "push", payload.kit)
    pullers, remarks = pulling(lambda: push_payload_tars(scene, size_bytes))
    with _unpacked(scene, payload) as unpacked, rclone_mounts(unpacked) as (mounts, more):
        field = Field(scene, payload, here, [*pullers, *mounts], [*remarks, *more])
        for _ in range(rounds):
            field.turn()
            with origin.counting() as counted:
                turns.append(ours.turn(scene, payload, here))
            asked.append(counted)
            if has_index:
                indexed.append(ours.turn(scene, payload, here, *TRUSTING))
            disk.append(_from_disk(scene, unpacked))
    lag = _watched_turn(scene, payload)
    _check(scene, payload)
    gibs = payload.size_bytes / GIB
    total = Row("mount + read", "s", [turn.seconds for turn in turns])
    with_index = Row("with a chunk index: mount + read", "s", [turn.seconds for turn in indexed])
    ranges = [turn.seconds for turn in field.turns[RANGES.name]]
    beside_index = Row(f"{RANGES.name} + read", "s", ranges, with_index, least_ratio=_INDEXED_RATIO, theirs=True)
    return Answer(
        "cold",
        f"{format_size(payload.size_bytes)} in 4 raw shards and small files, nothing in the cache, loopback registry",
        (
            total,
            Row("  of which mount", "s", [turn.mount_seconds for turn in turns]),
            Row("  of which read", "s", [turn.read_seconds for turn in turns]),
            *([with_index, beside_index] if has_index else []),
            *field.rows(total, _LEAST_RATIOS),
            Row("unpacked before, read from the disk", "s", disk, total, theirs=True),
            Row("mount + read", "GiB/s", [gibs / turn.seconds for turn in turns]),
            Row("daemon, CPU", "s/GiB", [turn.cpu.seconds / gibs for turn in turns], limit=_CPU_SECONDS),
            Row("  of which user", "s/GiB", [turn.cpu.user / gibs for turn in turns]),
            Row("  of which system", "s/GiB", [turn.cpu.system / gibs for turn in turns]),
            *field.cpu_rows(),
            Row("registry, CPU for us", "s/GiB", [turn.registry_seconds / gibs for turn in turns]),
            *(
                Row(f"registry, CPU for {name}", "s/GiB", [turn.registry_seconds / gibs for turn in theirs], theirs=True)
                for name, theirs in field.turns.items()
                if name in {ORAS.name, RANGES.name}
            ),
            Row("daemon, peak of RssAnon", "MiB", [turn.peak_bytes / MIB for turn in turns], limit=_ANONYMOUS_MIB, shape="{:.0f}"),
            Row("page cache, growth per byte read", "", [turn.grown for turn in turns], limit=_PAGE_CACHE),
            Row("origin bytes ÷ file bytes", "", [each.size_bytes / payload.size_bytes for each in asked], shape="{:.3f}"),
            Row("origin requests", "", [each.requests for each in asked], shape="{:.0f}"),
            Row("loop, longest step", "ms", [lag.longest_seconds * 1000], limit=_STEP_MILLISECONDS),
            Row("loop, longest step by its CPU", "ms", [lag.longest_cpu_seconds * 1000], limit=_STEP_MILLISECONDS),
            Row("loop, steps over 10 ms", "", [lag.long], shape="{:.0f}"),
            Row("reads the kernel asked for", "", [lag.read_requests], shape="{:.0f}"),
        ),
        (
            "reads are 16 MiB, one after another, files in the order of their names; the registry's files are in the page cache",
            "a ratio at a peer: how many times as long as ours it took",
            "checked once, not timed: what was read has the sha256 of what was pushed, ours and oras'",
            "page cache: of the whole machine (/proc/meminfo), from before the mount to the end of the read",
            "loop: what a task of the daemon does between two awaits, in a turn of its own; waits for a core are not its CPU's",
            "rclone mounts the same files, which `rclone serve http` serves: no registry, and nothing is proven",
            "CPU of a peer: of the processes that its turn waited for, so without a mount's daemon",
            f"reads the kernel asked for, each with the most that it asked for: {lag.histogram()}",
            *([] if has_index else [f"with a chunk index: {NOT_AVAILABLE}"]),
            *field.remarks,
        ),
    )


@contextmanager
def _unpacked(scene: Scene, payload: Payload) -> Iterator[Path]:
    """The files, as somebody unpacked them before."""
    place = scene.directory / "unpacked"
    scene.pull(payload.artifact).place.rename(place)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _from_disk(scene: Scene, place: Path) -> float:
    """Seconds to read files that nobody has in memory."""
    scene.settle()
    files = files_below(place)
    drop_pages(files)
    started = perf_counter()
    read_all(files)
    return perf_counter() - started


def _watched_turn(scene: Scene, payload: Payload) -> Seen:
    """A turn of ours that is not timed: the hook costs a little."""
    scene.clear_cache()
    scene.settle()
    with watched(scene) as (stage, watch), stage.mounted(payload.kit):
        read_all(files_below(stage.mountpoint))
        return watch.look()


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
