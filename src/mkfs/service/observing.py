"""Looking at a mount that serves: what its parts count, taken at one moment, for the report (`service.status`).

Looking costs what it costs whoever looks: a mount that nobody asks about counts, and once a second notes two numbers.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, final

import trio
from msgspec import structs

from mkfs.content.artifact import Artifact
from mkfs.content.layer import Layer
from mkfs.content.reads import Cause
from mkfs.content.together import all_done
from mkfs.proof.grid import CHUNK_BYTES
from mkfs.ranges import ByteRange
from mkfs.registry.repository import Repository
from mkfs.service.companions import Mounted
from mkfs.service.rates import SAMPLE_SECONDS, Rates
from mkfs.service.report import Report
from mkfs.service.seen import Named, Seen, SeenArtifact, SeenCache, SeenLayer, SeenWait
from mkfs.service.status import report_of
from mkfs.service.tag_standing import TagStanding
from mkfs.tree.nodes import File
from mkfs.vfs.forest import Planted

# Waiting reads that are told one by one: what a screen shows. Their number is told in any case.
WAITS_TOLD: Final = 20
# Ten thousand chunks are counted in some ten milliseconds, which all threads feel: a layer with more is counted less often.
LARGE_BYTES: Final = 10_000 * CHUNK_BYTES
COUNT_SECONDS: Final = 5.0
_FETCHED: Final = frozenset({Cause.CHUNKS, Cause.PROOF})


@final
class Observer:
    """Reports of one mount, made from the moment at which it became readable. `tag`: what is known of the tag it came from."""

    def __init__(self, mounted: Mounted, tag: TagStanding | None) -> None:
        self._mounted, self._tag = mounted, tag
        self._mounted_at, self._since = time.time(), time.monotonic()
        self._readable_seconds = _age_seconds()
        self._rates = Rates()
        self._counted: dict[Layer, tuple[float, int]] = {}  # when, and how many bytes were here
        self._looking = trio.Lock()
        self._last: tuple[int, Report] | None = None  # with how many had asked when it was begun
        self._asked = 0

    async def sample(self) -> None:
        """Notes the counts that rates are made of, every `SAMPLE_SECONDS`. Never returns."""
        while True:
            self._rates.note(trio.current_time(), self._fetched_bytes(), self._served_bytes())
            self._mounted.file_system.waits.look()
            await trio.sleep(SAMPLE_SECONDS)

    async def report(self) -> Report:
        """The mount now: those who ask while one is made share the next. Asks the disk, never a registry; raises nothing."""
        self._asked += 1
        mine = self._asked
        async with self._looking:
            if self._last is None or self._last[0] < mine:
                asked = self._asked
                self._last = asked, report_of(await self._look())
            return self._last[1]

    async def _look(self) -> Seen:
        mounted, engine = self._mounted, self._mounted.means.engine
        file_system, client = mounted.file_system, mounted.means.client
        repository, source = mounted.means.repository, mounted.settings.source
        cache, space = engine.cache, await mounted.weigher.space()  # first, as it may take longer than all the rest
        artifacts = tuple(mounted.artifacts)  # more may come while these are looked at
        seen = await self._layers(mounted.layers)
        return Seen(
            pid=os.getpid(),
            mountpoint=mounted.settings.mountpoint,
            at=time.time(),
            mounted_at=self._mounted_at,
            uptime_seconds=time.monotonic() - self._since,
            readable_seconds=self._readable_seconds,
            deferred=source.deferred,
            prefetch=source.prefetch.value,
            offline=source.offline,
            artifacts=tuple(self._artifact(artifact, seen) for artifact in artifacts),
            layers=tuple(seen.values()),
            tags=None if mounted.tags is None else tuple(mounted.tags()),
            file_system=file_system.statistics(),
            waits=file_system.waits.statistics(),
            waiting=tuple(self._waiting()),
            slowest=tuple((self._named(waited.inode), waited) for waited in file_system.waits.slowest()),
            rate=self._rates.rate(trio.current_time(), self._fetched_bytes(), self._served_bytes()),
            admission=engine.admission.statistics(),
            ahead_bytes=engine.budget.leased_bytes,
            ahead_limit_bytes=engine.budget.limit_bytes,
            errors=engine.errors.latest(),
            cache=SeenCache(str(cache.path), cache.limits.size_limit_bytes, space, cache.statistics()),
            client=client.statistics(),
            hosts_aside=repository.hosts_aside if isinstance(repository, Repository) else (),
            tuning=mounted.session.tuning,
        )

    async def _layers(self, layers: Sequence[Layer]) -> dict[Layer, SeenLayer]:
        seen: dict[Layer, SeenLayer] = {}

        async def look(layer: Layer) -> None:
            size_bytes, cached_bytes = layer.content_bytes, await self._cached_bytes(layer)
            complete = layer.published or cached_bytes == size_bytes
            seen[layer] = SeenLayer(
                layer.label, layer.blob.digest, layer.blob.size_bytes, size_bytes, layer.statistics(), cached_bytes, complete
            )

        await all_done(partial(look, layer) for layer in layers)
        return seen

    def _artifact(self, artifact: Artifact, seen: Mapping[Layer, SeenLayer]) -> SeenArtifact:
        description = artifact.description
        return SeenArtifact(
            str(description.reference),
            description.digest,
            description.index,
            description.plan.format_name,
            description.resolved_at or self._mounted_at,
            self._tag if artifact is self._mounted.artifacts[0] else None,
            tuple(seen[layer] for layer in dict.fromkeys(artifact.layers)),
        )

    async def _cached_bytes(self, layer: Layer) -> int:
        """How many bytes of it are in the cache; of a large layer that is read by chunks perhaps a moment ago."""
        size_bytes, now = layer.content_bytes, trio.current_time()
        if size_bytes is None:
            return 0
        counted_at, before = self._counted.get(layer, (float("-inf"), 0))
        if size_bytes > LARGE_BYTES and not layer.published and now - counted_at < COUNT_SECONDS:
            return before
        counted = (await layer.facts(ByteRange(0, size_bytes))).proven_bytes
        self._counted[layer] = now, counted
        return counted

    def _waiting(self) -> Iterator[SeenWait]:
        for seconds, wait in self._mounted.file_system.waits.longest_waiting(WAITS_TOLD):
            obstacle, layer = wait.look(), self._layer(wait.inode)
            if layer is not None and obstacle.cause in _FETCHED and not obstacle.hosts:  # asked, and has not begun to answer
                obstacle = structs.replace(obstacle, hosts=(self._registry_of(layer),))
            yield SeenWait(self._named(wait.inode), wait.start, wait.stop, seconds, obstacle)

    def _named(self, inode: int) -> Named:
        planted, node = self._mounted.file_system.locate(inode)
        layer = self._layer(inode)
        return Named(_path(planted, node.number), "" if layer is None else layer.label)

    def _layer(self, inode: int) -> Layer | None:
        planted, node = self._mounted.file_system.locate(inode)
        layer = planted.layers[node.layer] if isinstance(node, File) and node.layer is not None else None
        return layer if isinstance(layer, Layer) else None

    def _registry_of(self, layer: Layer) -> str:
        for artifact in self._mounted.artifacts:
            description = artifact.description
            for each, planned in zip(artifact.layers, description.plan.layers, strict=True):
                if each is layer:
                    return (planned.origin or description.reference).registry
        return ""

    def _fetched_bytes(self) -> int:
        return sum(layer.fetched_bytes for layer in self._mounted.layers)

    def _served_bytes(self) -> int:
        return self._mounted.file_system.statistics().bytes_served


def _path(planted: Planted, number: int) -> bytes:
    path = planted.tree.path(number)
    return path if planted.number == 0 else b"%s/%s" % (str(planted.digest).encode(), path)


def _age_seconds() -> float:
    """How long ago this process began: 22nd field of /proc/self/stat, in clock ticks since boot (proc_pid_stat(5))."""
    began_ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK"))
