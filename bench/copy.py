"""How long `cp -a` of a whole kit takes out of a mount with nothing in the cache, beside `oras pull` of the same bytes."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import final

from bench.payload import Payload, push_payload
from bench.reading import sums
from bench.report import Answer, Row
from bench.scene import Failed, Scene
from mkfs.units import GIB, MIB, format_size


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Mount and copy, pull; turn by turn."""
    payload = push_payload(scene, size_bytes)
    theirs, ours = [], []
    for number in range(rounds):
        theirs.append(_pull(scene, payload, check=not number))
        ours.append(_copy(scene, payload, check=not number))
    scene.clear_cache()
    gibs = payload.size_bytes / GIB
    pull = Row("oras pull", "s", [turn.seconds for turn in theirs], theirs=True)
    cpu = Row("oras, CPU", "s/GiB", [turn.cpu_seconds / gibs for turn in theirs], theirs=True)
    registry = Row("registry, CPU for oras", "s/GiB", [turn.registry_seconds / gibs for turn in theirs], theirs=True)
    sent = Row("registry, sent to oras", "MiB", [turn.sent_bytes / MIB for turn in theirs], theirs=True)
    return Answer(
        "copy",
        f"{format_size(payload.size_bytes)} in 4 raw shards and small files, nothing in the cache, loopback registry",
        (
            Row("mount + cp -a", "s", [turn.seconds for turn in ours], pull),
            Row("  of which mount", "s", [turn.mount_seconds for turn in ours]),
            pull,
            Row("mount + cp -a", "GiB/s", [gibs / turn.seconds for turn in ours]),
            Row("oras pull", "GiB/s", [gibs / turn.seconds for turn in theirs], theirs=True),
            Row("daemon, CPU", "s/GiB", [turn.cpu_seconds / gibs for turn in ours], cpu),
            Row("cp, CPU", "s/GiB", [turn.cp_seconds / gibs for turn in ours]),
            cpu,
            Row("registry, CPU for us", "s/GiB", [turn.registry_seconds / gibs for turn in ours], registry),
            registry,
            Row("registry, sent to us", "MiB", [turn.sent_bytes / MIB for turn in ours], sent),
            sent,
        ),
        (
            f"payload {payload.size_bytes / MIB:.2f} MiB; what the registry sent is what it wrote, heads of answers included",
            "neither side waits for the disk in the end; ours leaves a copy in the cache, too, from which the next mount reads",
            "checked in the first round, not timed: what was copied has the sha256 of what was pushed, ours and theirs",
        ),
    )


@final
@dataclass(frozen=True, slots=True)
class _Turn:
    """What a turn took. `cpu_seconds` of oras, or of the daemon since it was mounted."""

    seconds: float
    cpu_seconds: float
    registry_seconds: float
    sent_bytes: int
    mount_seconds: float = 0.0
    cp_seconds: float = 0.0  # CPU


def _copy(scene: Scene, payload: Payload, *, check: bool) -> _Turn:
    """Empty cache, fresh mount, everything copied."""
    place = scene.directory / "copied"
    scene.clear_cache()
    scene.settle()
    registry, sent = scene.registry_cpu(), scene.registry_sent_bytes()
    try:
        with scene.mounted(payload.kit) as mounted:
            before, times = mounted.cpu(), os.times()
            started = perf_counter()
            subprocess.run(["cp", "-a", scene.mountpoint, place], check=True)
            seconds, after = perf_counter() - started, os.times()
            used = mounted.cpu().since(before)
        cp_seconds = after.children_user - times.children_user + after.children_system - times.children_system
        turn = _Turn(
            mounted.seconds + seconds,
            used.seconds,
            scene.registry_cpu().since(registry).seconds,
            scene.registry_sent_bytes() - sent,
            mounted.seconds,
            cp_seconds,
        )
        if check:
            (place / "Kitfile").unlink()  # ours alone
            _check(place, payload)
        return turn
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _pull(scene: Scene, payload: Payload, *, check: bool) -> _Turn:
    """Empty directory, everything pulled."""
    scene.clear_pulled()
    scene.settle()
    registry, sent = scene.registry_cpu(), scene.registry_sent_bytes()
    pulled = scene.pull(payload.artifact)
    turn = _Turn(
        pulled.seconds, pulled.cpu_seconds, scene.registry_cpu().since(registry).seconds, scene.registry_sent_bytes() - sent
    )
    if check:
        _check(pulled.place, payload)
    scene.clear_pulled()
    return turn


def _check(place: Path, payload: Payload) -> None:
    found = sums(place)
    if found != payload.sums:
        raise Failed(f"wrong bytes: {found.items() ^ payload.sums.items()}")
