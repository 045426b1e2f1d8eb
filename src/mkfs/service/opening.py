"""The means to open an artifact, put together from settings and taken apart again: client, cache, engine."""

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import trio

from mkfs.cache.store import Cache
from mkfs.content.budget import Budget, ahead_limit
from mkfs.content.buffers import CAPACITY, Buffers
from mkfs.content.describing import Terms
from mkfs.content.engine import Engine
from mkfs.content.sources import Elsewhere
from mkfs.formats.choice import Choice
from mkfs.formats.filters import parse_filter
from mkfs.formats.selection import architecture_of, parse_labels
from mkfs.oci.reference import Reference
from mkfs.registry.client import RegistryClient
from mkfs.registry.layout import AnyRepository, Layout
from mkfs.service.asking import asking
from mkfs.service.exporting import Exporter
from mkfs.service.memory_limit import memory_limit
from mkfs.service.settings import SourceSettings


@final
@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """What `content.artifact` asks for. `repository` is None when nothing may be asked."""

    reference: Reference
    repository: AnyRepository | None
    engine: Engine
    terms: Terms
    client: RegistryClient  # of every repository that is asked
    exporter: Exporter | None = None  # who tells of the mount over HTTP


def open_cache(settings: SourceSettings) -> Cache:
    """The cache of `settings`, with its limits. Blocks. Raises `CacheUnusable`, also where these leave it no room for anything."""
    cache = Cache.open(
        Path(settings.cache_dir),
        min_free_ratio=settings.min_free_ratio,
        min_free_bytes=settings.min_free_bytes,
        size_limit_bytes=settings.cache_size_bytes,
    )
    cache.require_size()
    return cache


@asynccontextmanager
async def opening(settings: SourceSettings, *, buffers: int = CAPACITY) -> AsyncGenerator[Means, None]:
    """Opens cache and client for the length of the block; work under way in the engine ends with it. `buffers`: how many it has.

    Raises `BadReference`, `CacheUnusable`, `UsageError` (a registry or proxy that makes no sense). An error that leaves the block
    may come in a group of one: see `service.failures.sole`.
    """
    reference = Reference.parse_source(settings.reference, or_repository=True)
    choice = Choice(
        tuple(parse_filter(text) for text in settings.filters),
        frozenset(settings.reference_hosts),
        parse_labels(settings.labels),
        architecture_of(platform.machine()),
    )
    policy = settings.trust.policy()
    cache = await trio.to_thread.run_sync(open_cache, settings)
    try:
        async with (
            asking(settings.client) as client,
            trio.open_nursery() as nursery,
        ):
            try:
                elsewhere = None if settings.offline else client.repository
                terms = Terms(policy, choice, elsewhere, settings.deferred, settings.prefetch)
                engine = Engine(nursery, cache, Buffers(buffers), budget=Budget(ahead_limit(memory_limit())))
                yield Means(reference, _repository(reference, elsewhere), engine, terms, client)
            finally:
                nursery.cancel_scope.cancel()
    finally:
        cache.close()


async def names_repository(means: Means) -> bool:
    """Whether a repository is meant, and not an artifact in it: where neither a tag nor a digest is named; of a layout only where
    its tags name several artifacts. Raises as `Layout.resolve`.
    """
    if means.reference.is_named:
        return False
    return await means.repository.has_several() if isinstance(means.repository, Layout) else True


def _repository(reference: Reference, elsewhere: Elsewhere | None) -> AnyRepository | None:
    """Where the artifact is: a directory can be asked offline as well."""
    if reference.is_layout:
        return Layout(Path(reference.repository))
    return None if elsewhere is None else elsewhere(reference, False)  # noqa: FBT003 - see Elsewhere
