"""Going through all layers of an artifact without mounting it: filling the cache with them, or verifying them.

Several layers at once; each is proven and kept as a mount would do it, so what is done is done: work that was interrupted, or runs
beside a mount, fetches nothing twice. A layer whose bytes are wrong or missing does not keep the others from being fetched; what
would fail them all (the registry is gone, there is no room) ends the work at once.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

import trio

from mkfs.content.layer import Layer
from mkfs.content.together import all_done
from mkfs.errors import BadArchive, IntegrityError, MkfsError, NotFound
from mkfs.formats.diff_ids import differing
from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.service.opening import opening
from mkfs.service.progress import Progress, Showing
from mkfs.service.settings import SourceSettings
from mkfs.service.streaming import open_shown

# Layers at once; each is fetched by several streams, and a registry gives a client only so much.
CONCURRENCY: Final = 4
# What says something of one layer only.
_OF_A_LAYER: Final = (IntegrityError, BadArchive, NotFound)


@final
class LayerOutcome(Enum):
    """What became of a layer."""

    CACHED = "cached"  # it was there already
    FETCHED = "fetched"  # all of it or some
    FAILED = "failed"


@final
@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer, by the name a person knows it by. `before`: what a read of it rested on when the work began. `error` is set where
    it failed.
    """

    label: str
    digest: Digest
    size_bytes: int
    before: Trust
    outcome: LayerOutcome
    error: MkfsError | None = None


@final
@dataclass(frozen=True, slots=True)
class WorkReport:
    """What the work came to. Layers with the same bytes are one."""

    reference: str  # with its digest
    layers: tuple[LayerResult, ...]
    seconds: float
    warnings: tuple[str, ...] = ()  # what the artifact says of its layers, and is not so

    def size_bytes(self, *outcomes: LayerOutcome) -> int:
        """Of the layers with one of `outcomes`; of all without any."""
        return sum(layer.size_bytes for layer in self.layers if not outcomes or layer.outcome in outcomes)

    @property
    def failed(self) -> tuple[LayerResult, ...]:
        """The layers that could not be had, or were wrong."""
        return tuple(layer for layer in self.layers if layer.outcome is LayerOutcome.FAILED)


async def warm(settings: SourceSettings, showing: Showing, *, concurrency: int = CONCURRENCY) -> WorkReport:
    """Returns when the cache has every layer that could be had.

    Raises what `content.artifact.open_artifact` raises; `Unreachable`, `NotAuthorised`, `CacheUnusable` for what fails all layers.
    Cancelling leaves what is proven in the cache, and what was received of other layers for the next time.
    """
    return await _go_through(settings, showing, lambda layer, _progress: layer.fill(), concurrency)


async def verify(settings: SourceSettings, showing: Showing, *, concurrency: int = CONCURRENCY) -> WorkReport:
    """Returns when every byte of every layer was hashed, whatever was known of it. Raises as `warm`."""
    return await _go_through(settings, showing, lambda layer, progress: layer.verify(progress), concurrency)


Work = Callable[[Layer, Callable[[int], None]], Awaitable[None]]  # on one layer; says how many bytes it has seen to


async def _go_through(settings: SourceSettings, showing: Showing, work: Work, concurrency: int) -> WorkReport:
    started = trio.current_time()
    async with opening(settings) as means:
        artifact = await open_shown(means, showing)
        try:
            layers = await go_through(artifact.layers, showing, work, concurrency=concurrency)
            reference = str(means.reference.pinned(artifact.description.digest))
            plan = artifact.description.plan
            wrong = differing(plan.layers, [layer.diff_id for layer in artifact.layers])
            return WorkReport(reference, layers, trio.current_time() - started, (*plan.doubts, *wrong))
        finally:
            artifact.close()


async def go_through(
    layers: Iterable[Layer], showing: Showing, work: Work, *, concurrency: int = CONCURRENCY
) -> tuple[LayerResult, ...]:
    """What became of each of `layers`, which are of an open artifact. Raises `Unreachable`, `NotAuthorised`, `CacheUnusable`."""
    going = _Going(layers, work)

    async def narrate() -> None:
        while True:
            await trio.sleep(showing.period_seconds)
            showing.show(going.progress())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(narrate)
        reports = await going.run(concurrency)
        nursery.cancel_scope.cancel()
    showing.show(going.progress())
    return reports


@final
class _Going:
    """The work itself."""

    def __init__(self, layers: Iterable[Layer], work: Work) -> None:
        self._layers = tuple({layer.blob.digest: layer for layer in layers}.values())
        self._work = work
        self._hashed_bytes = dict.fromkeys(self._layers, 0)
        self._done: dict[Layer, LayerResult] = {}

    async def run(self, concurrency: int) -> tuple[LayerResult, ...]:
        """All layers, `concurrency` at once; the largest begin first, so that none is left over at the end."""
        waiting = iter(sorted(self._layers, key=lambda layer: -layer.blob.size_bytes))

        async def take_layers() -> None:
            for layer in waiting:
                self._done[layer] = await self._one(layer)

        await all_done([take_layers] * concurrency)
        return tuple(self._done[layer] for layer in self._layers)

    def progress(self) -> Progress:
        done_bytes = 0
        for layer in self._layers:
            size_bytes = layer.blob.size_bytes
            seen_bytes = max(self._hashed_bytes[layer], layer.statistics().received_bytes)
            done_bytes += size_bytes if layer in self._done else min(seen_bytes, size_bytes)
        return Progress(done_bytes, sum(layer.blob.size_bytes for layer in self._layers), len(self._done), len(self._layers))

    async def _one(self, layer: Layer) -> LayerResult:
        blob, before, error = layer.blob, layer.trust, None

        def progress(count: int) -> None:
            self._hashed_bytes[layer] += count

        try:
            await self._work(layer, progress)
        except _OF_A_LAYER as failure:
            error = failure
        fetched = LayerOutcome.FETCHED if _has_fetched(layer) else LayerOutcome.CACHED
        return LayerResult(layer.label, blob.digest, blob.size_bytes, before, LayerOutcome.FAILED if error else fetched, error)


def _has_fetched(layer: Layer) -> bool:
    statistics = layer.statistics()
    return bool(statistics.fetches or (statistics.chunks is not None and statistics.chunks.fetched))
