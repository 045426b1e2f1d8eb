"""How long a reader waits for the first KiB of the last of four large layers: with a chunk index, and without."""

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench import curl
from bench.chunk_index import NOT_AVAILABLE, TRUSTING, is_available, run_index
from bench.origin import Origin
from bench.payload import SHARDS, Shards, push_shards
from bench.report import Answer, Row
from bench.routes import Route, far, loopback
from bench.scene import Scene
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB, format_size

_WANTED_BYTES: Final = KIB
_RANGE_RATIO: Final = 1.5
_LAYER_RATIO: Final = 1.1
_START_SECONDS: Final = {"loopback": 0.5, "1000 Mbit/s, 20 ms": 0.7}


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """An empty cache and a fresh mount for every value; peers and we take turns."""
    shards = push_shards(scene, size_bytes)
    indexed = is_available(scene)
    if indexed:
        run_index(scene, "push", shards.kit)
    origin = Origin(scene.registry, scene.pusher)
    with far(scene) as link:
        ways = [_Way(scene, route, shards, origin, indexed=indexed) for route in (loopback(scene), link)]
        for _ in range(rounds):
            for way in ways:
                way.turn()
    return Answer(
        "first_byte",
        f"open to the first KiB of the last of {SHARDS} tar layers, each {format_size(shards.content.size_bytes)}; empty cache",
        [row for way in ways for row in way.rows()],
        (
            *([] if indexed else [f"with a chunk index: {NOT_AVAILABLE}"]),
            "mount to first KiB: from starting the command, its process included",
            "curl, 1 MiB: a range of that layer on a connection of its own, by curl's clock, so without starting its process",
            "8 × curl + openssl: that layer in eight ranges at once into files, then hashed; processes included",
            "requests and MiB: between open and the first KiB, by the registry's log (Debian's docker-registry)",
            f"{curl.version()}",
        ),
    )


@final
class _Way:
    """All that is measured on one way to the registry."""

    def __init__(self, scene: Scene, route: Route, shards: Shards, origin: Origin, *, indexed: bool) -> None:
        self._scene, self._route, self._shards, self._origin = scene, route, shards, origin
        self._blob = route.blob(shards.repository, shards.last.digest)
        self._indexed = _Reads(TRUSTING) if indexed else None
        self._plain = _Reads(())
        self._range: list[float] = []
        self._layer: list[float] = []

    def turn(self) -> None:
        """A value for each row."""
        size_bytes = self._shards.last.body.size_bytes
        middle = ByteRange(size_bytes // 2, size_bytes // 2 + MIB)
        self._scene.settle()
        self._range.append(curl.one_range(self._blob, middle))
        if self._indexed:
            self._read(self._indexed)
        self._scene.settle()
        self._layer.append(curl.all_and_hash(self._blob, size_bytes, self._shards.last.digest, self._scene.directory))
        self._read(self._plain)

    def _read(self, reads: "_Reads") -> None:
        self._scene.clear_cache()
        self._scene.settle()
        with self._scene.mounted(self._route.reference(self._shards.kit), *reads.options) as mounted:
            path = self._scene.mountpoint / self._shards.last_name
            with self._origin.counting() as asked:
                seconds, data = _first_bytes(path)
        assert data == self._shards.content.read(ByteRange(0, _WANTED_BYTES)), "wrong bytes"
        reads.first.append(seconds)
        reads.whole.append(mounted.seconds + seconds)
        reads.requests.append(asked.requests)
        reads.mib.append(asked.mib)

    def rows(self) -> list[Row]:
        """The rows of this way."""
        where = self._route.name
        one_range = Row(f"{where}: curl, 1 MiB", "s", self._range, theirs=True, shape="{:.3f}")
        layer = Row(f"{where}: 8 × curl + openssl", "s", self._layer, theirs=True, shape="{:.3f}")
        found = [one_range]
        if self._indexed:
            limit = _START_SECONDS[where]
            found += self._indexed.rows(f"{where}, chunk index", one_range, _RANGE_RATIO, start_limit=limit)
        return [*found, layer, *self._plain.rows(f"{where}, no index", layer, _LAYER_RATIO)]


@final
class _Reads:
    """What was seen with the same options of `mount`."""

    def __init__(self, options: Sequence[str]) -> None:
        self.options = options
        self.first: list[float] = []
        self.whole: list[float] = []
        self.requests: list[float] = []
        self.mib: list[float] = []

    def rows(self, where: str, peer: Row, ratio_limit: float, *, start_limit: float | None = None) -> list[Row]:
        """What a person wants to know of them."""
        return [
            Row(f"{where}: first KiB", "s", self.first, peer, ratio_limit=ratio_limit, shape="{:.3f}"),
            Row(f"{where}: mount to first KiB", "s", self.whole, limit=start_limit, shape="{:.3f}"),
            Row(f"{where}: requests", "", self.requests, shape="{:.0f}"),
            Row(f"{where}: from the registry", "MiB", self.mib),
        ]


def _first_bytes(path: Path) -> tuple[float, bytes]:
    """Opens and reads as little as a reader of headers does; seconds, and what came."""
    started = perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    data = os.pread(descriptor, _WANTED_BYTES, 0)
    seconds = perf_counter() - started
    os.close(descriptor)
    return seconds, data
