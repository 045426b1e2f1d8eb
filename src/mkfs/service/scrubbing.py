"""The slow background scrub of a mounted process: off unless asked for."""

import logging
from collections.abc import Iterator
from typing import Final, Protocol

import trio

from mkfs.cache.scrub import Step
from mkfs.errors import CacheUnusable

log = logging.getLogger(__name__)

# Between two rounds, and between two looks whether the process that scrubs now has ended.
PAUSE_SECONDS: Final = 3600.0


class Scrubbed(Protocol):
    """What is scrubbed: `cache.store.Cache`."""

    def scrub(self) -> Iterator[Step] | None:
        """Steps to take one after another; None if another process does."""


async def scrub_slowly(cache: Scrubbed, bytes_per_second: int) -> None:
    """Hashes everything in `cache`, over and over, at `bytes_per_second` on average; what is damaged is dropped and logged.

    Returns never. Cancelled, it ends after the step under way, which reads some chunks.
    """
    while True:
        try:
            await _round(cache, bytes_per_second)
        except CacheUnusable as error:
            log.warning("cannot scrub the cache, trying again later: %s", error)
        await trio.sleep(PAUSE_SECONDS)


async def _round(cache: Scrubbed, bytes_per_second: int) -> None:
    work = await trio.to_thread.run_sync(cache.scrub)
    if work is None:
        return
    log.info("scrubbing the cache")
    size_bytes = 0
    while (step := await trio.to_thread.run_sync(next, work, None)) is not None:
        for damage in step.damage:
            log.warning("scrubbing found damage, taken out of %s/%s: %s", damage.kind, damage.name, damage.what)
        size_bytes += step.size_bytes
        await trio.sleep(step.size_bytes / bytes_per_second)
    log.info("scrubbed the cache: %d bytes", size_bytes)
