"""Filling the cache with an artifact, without mounting it.

Several layers at once; each is proven and kept as a mount would do it, so what is done is done: a warmup that was interrupted, or
runs beside a mount, fetches nothing twice. A layer whose bytes are wrong or missing does not keep the others from being fetched;
what would fail them all (the registry is gone, there is no room) ends the work at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import final

import trio

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.layer import Layer
from mkfs.content.together import all_done
from mkfs.errors import BadArchive, IntegrityError, MkfsError, NotFound
from mkfs.oci.digest import Digest
from mkfs.service.opening import opening
from mkfs.service.settings import SourceSettings

# What says something of one layer only.
_OF_A_LAYER = (IntegrityError, BadArchive, NotFound)


@final
class Outcome(Enum):
    """What became of a layer."""

    CACHED = "cached"  # it was there already
    FETCHED = "fetched"
    FAILED = "failed"


@final
@dataclass(frozen=True, slots=True)
class WarmedLayer:
    """One layer, by the name a person knows it by. `error` is set where it failed."""

    label: str
    digest: Digest
    size_bytes: int
    outcome: Outcome
    error: MkfsError | None = None


@final
@dataclass(frozen=True, slots=True)
class Warmed:
    """What a warmup came to. Layers with the same bytes are one."""

    reference: str  # with its digest
    layers: tuple[WarmedLayer, ...]
    seconds: float

    def size_bytes(self, outcome: Outcome | None = None) -> int:
        """Of all layers, or of those with that outcome."""
        return sum(layer.size_bytes for layer in self.layers if outcome in (None, layer.outcome))

    @property
    def failed(self) -> tuple[WarmedLayer, ...]:
        """The layers that are not in the cache."""
        return tuple(layer for layer in self.layers if layer.outcome is Outcome.FAILED)


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a warmup. Bytes count once they are received; a layer once it is in the cache."""

    done_bytes: int
    size_bytes: int
    done_layers: int
    layers: int


async def warm(settings: SourceSettings, *, concurrency: int, show: Callable[[Progress], None], period_seconds: float) -> Warmed:
    """Returns when the cache has every layer that could be had. `show` is called every `period_seconds`, and at the end.

    Raises what `content.artifact.open_artifact` raises; `Unreachable`, `NotAuthorised`, `CacheUnusable` for what fails all layers.
    Cancelling leaves what is proven in the cache.
    """
    started = trio.current_time()
    async with opening(settings) as means:
        artifact = await open_artifact(means.engine, means.repository, means.reference)
        try:
            warming = _Warming(artifact)

            async def narrate() -> None:
                while True:
                    await trio.sleep(period_seconds)
                    show(warming.progress())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(narrate)
                layers = await warming.run(concurrency)
                nursery.cancel_scope.cancel()
            show(warming.progress())
            reference = str(means.reference.pinned(artifact.description.digest))
            return Warmed(reference, layers, trio.current_time() - started)
        finally:
            artifact.close()


@final
class _Warming:
    """The work itself."""

    def __init__(self, artifact: Artifact) -> None:
        self._layers = tuple({layer.blob.digest: layer for layer in artifact.layers}.values())
        self._warmed: dict[Layer, WarmedLayer] = {}

    async def run(self, concurrency: int) -> tuple[WarmedLayer, ...]:
        """All layers, `concurrency` at once; the largest begin first, so that none is left over at the end."""
        waiting = iter(sorted(self._layers, key=lambda layer: -layer.blob.size_bytes))

        async def take_layers() -> None:
            for layer in waiting:
                self._warmed[layer] = await _warmed(layer)

        await all_done([take_layers] * concurrency)
        return tuple(self._warmed[layer] for layer in self._layers)

    def progress(self) -> Progress:
        done_bytes = 0
        for layer in self._layers:
            size_bytes = layer.blob.size_bytes
            done_bytes += size_bytes if layer in self._warmed else min(layer.statistics().received_bytes, size_bytes)
        return Progress(done_bytes, sum(layer.blob.size_bytes for layer in self._layers), len(self._warmed), len(self._layers))


async def _warmed(layer: Layer) -> WarmedLayer:
    blob, error = layer.blob, None
    try:
        await layer.fill()
    except _OF_A_LAYER as failure:
        error = failure
    fetched = Outcome.FETCHED if _has_fetched(layer) else Outcome.CACHED
    return WarmedLayer(layer.label, blob.digest, blob.size_bytes, Outcome.FAILED if error else fetched, error)


def _has_fetched(layer: Layer) -> bool:
    statistics = layer.statistics()
    return bool(statistics.fetches or (statistics.chunks is not None and statistics.chunks.fetched))
