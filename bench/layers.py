"""A kit of a hundred layers: how many round trips until it can be read, and how long that takes over a link."""

from typing import Final

from bench.report import Answer, Row
from bench.round_trips import round_trips
from bench.routes import far, loopback
from bench.scene import Scene
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import KIB, MIB

_LAYERS: Final = 100
_ROUND_TRIPS: Final = 5
_LARGE_BYTES: Final = 2 * MIB  # too large to be fetched by a mount: the head of each is
_SMALL_BYTES: Final = 64 * KIB


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:  # noqa: ARG001 - every question is asked the same way
    """Two kits of tar layers with a file each, large and small ones; nothing in the cache."""
    kits = {"2 MiB": _kit(_LARGE_BYTES), "64 KiB": _kit(_SMALL_BYTES)}
    references = {
        name: scene.pusher.push(f"bench/layers-{number}", "kit", kit.manifest, kit.blobs)
        for number, (name, kit) in enumerate(kits.items())
    }
    counts = {name: _counted(scene, kit) for name, kit in kits.items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    with far(scene) as link:
        routes = (loopback(scene), link)
        for _ in range(rounds):
            for name, reference in references.items():
                for route in routes:
                    scene.clear_cache()
                    scene.settle()
                    with scene.mounted(route.reference(reference)) as mounted:
                        seconds.setdefault((name, route.name), []).append(mounted.seconds)
    scene.clear_cache()
    return Answer(
        "layers",
        f"kits of {_LAYERS} tar layers with one file each: from the command's start to stat and readdir of the mountpoint",
        (
            *(
                Row(f"layers of {name}: round trips", "", [count], limit=_ROUND_TRIPS, shape="{:.0f}")
                for name, count in counts.items()
            ),
            *(Row(f"layers of {name}: mount, {where}", "s", values) for (name, where), values in seconds.items()),
        ),
        ("round trips: requests that arrive before any of them is answered are one; counted at an in-process registry",),
    )


def _kit(layer_bytes: int) -> Kit:
    builder = KitBuilder("layers", seed=6)
    for number in range(_LAYERS):
        builder.docs(f"part-{number:03}.bin", layer_bytes)
    return builder.build()


def _counted(scene: Scene, kit: Kit) -> int:
    registry = MemoryRegistry()
    registry.push("bench/layers", "kit", kit.manifest, kit.blobs)
    scene.clear_cache()
    with serve(registry) as server:
        return round_trips(scene, registry, f"{server.host}/bench/layers:kit")
