"""How long from `kitfs mount` to a directory that can be read, and how many round trips are in it."""

import subprocess
import sys
from time import perf_counter
from typing import Final

from bench.payload import twenty_layers
from bench.reading import files_below, read_all
from bench.report import Answer, Row
from bench.round_trips import round_trips
from bench.scene import Scene
from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve

_READABLE_SECONDS: Final = 0.35
_IMPORTS: Final = "import mkfs.service.mounted, mkfs.service.showing"  # what the daemon does, the second while it asks
_ROUND_TRIPS: Final = 3  # manifest, config, layers; the token's are not counted


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:  # noqa: ARG001 - every question is asked the same way
    """A kit of twenty layers, with nothing in the cache and with everything, beside the interpreter alone."""
    kit = twenty_layers()
    reference = scene.pusher.push("bench/twenty", "kit", kit.manifest, kit.blobs)
    scene.settle()
    cold, warm, bare, imports = [], [], [], []
    for _ in range(rounds + 1):  # the first one writes bytecode, and is not counted
        bare.append(_python("pass", scene))
        imports.append(_python(_IMPORTS, scene))
        scene.clear_cache()
        with scene.mounted(reference) as mounted:
            cold.append(mounted.seconds)
            read_all(files_below(scene.mountpoint))
        with scene.mounted(reference) as mounted:
            warm.append(mounted.seconds)
    interpreter = Row("python -c pass", "s", bare[1:], theirs=True, shape="{:.3f}")
    imported = Row(f"python -c '{_IMPORTS}'", "s", imports[1:], interpreter, theirs=True, shape="{:.3f}")
    first, second = _round_trips(scene, kit)
    return Answer(
        "startup",
        "20 layers (10 of 2 MiB) on a loopback registry: from the command's start to stat and readdir of the mountpoint",
        (
            Row("mount, cold cache", "s", cold[1:], imported, limit=_READABLE_SECONDS, shape="{:.3f}"),
            Row("mount, warm cache", "s", warm[1:], imported, limit=_READABLE_SECONDS, shape="{:.3f}"),
            imported,
            interpreter,
            Row("round trips, cold cache", "", [first], limit=_ROUND_TRIPS, shape="{:.0f}"),
            Row("round trips, warm cache", "", [second], shape="{:.0f}"),
        ),
        (
            "warm: every layer was read and proven by the mount before",
            "round trips: requests that arrive before any of them is answered are one; counted at an in-process registry",
        ),
    )


def _python(code: str, scene: Scene) -> float:
    """Seconds from start to end of an interpreter that runs `code`, started as the daemon is."""
    started = perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], env=scene.shell.variables(), check=True)
    return perf_counter() - started


def _round_trips(scene: Scene, kit: Kit) -> list[int]:
    """How many dependent round trips a mount takes, with an empty cache and with what the mount before left there."""
    registry = MemoryRegistry()
    registry.push("bench/twenty", "kit", kit.manifest, kit.blobs)
    scene.clear_cache()
    with serve(registry) as server:
        reference = f"{server.host}/bench/twenty:kit"
        counts = [round_trips(scene, registry, reference)]
        with scene.mounted(reference):
            read_all(files_below(scene.mountpoint))
        counts.append(round_trips(scene, registry, reference))
    return counts
