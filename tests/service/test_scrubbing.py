"""The slow scrub: at its pace, over and over, and quiet where another process does it. Time is trio's."""

from collections.abc import Iterator

import pytest
import trio

from mkfs.cache.scrub import Damage, Step
from mkfs.errors import CacheUnusable
from mkfs.service.scrubbing import PAUSE_SECONDS, scrub_slowly


class Cache:
    """Has the same steps each round; a round that is None is another process's, an error is the disk's."""

    def __init__(self, *rounds: tuple[Step, ...] | Exception | None) -> None:
        self.rounds = list(rounds)
        self.asked: list[float] = []

    def scrub(self) -> Iterator[Step] | None:
        self.asked.append(trio.current_time())
        steps = self.rounds.pop(0) if self.rounds else None
        if isinstance(steps, Exception):
            raise steps
        return None if steps is None else iter(steps)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are taken at once: the clock of these tests does not wait for threads."""

    async def at_once(work, *arguments):
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)


async def scrubbed(cache: Cache, bytes_per_second: int, seconds: float) -> list[float]:
    start = trio.current_time()
    with trio.move_on_after(seconds):
        await scrub_slowly(cache, bytes_per_second)
    return [asked - start for asked in cache.asked]


async def test_it_reads_no_faster_than_it_was_told(autojump_clock) -> None:
    cache = Cache((Step("layers", 1000), Step("layers", 500)), None)
    asked = await scrubbed(cache, 100, PAUSE_SECONDS + 20)
    assert asked == [0, pytest.approx(15 + PAUSE_SECONDS)]


async def test_it_asks_again_later_where_another_process_scrubs(autojump_clock) -> None:
    assert len(await scrubbed(Cache(None, None), 100, 2.5 * PAUSE_SECONDS)) == 3


@pytest.mark.logs("scrubbing found damage, taken out of layers/sha256:ab: rotten")
async def test_damage_is_told_to_a_person(autojump_clock) -> None:
    await scrubbed(Cache((Step("layers", 1, (Damage("layers", "sha256:ab", "rotten"),)),)), 100, 1)


@pytest.mark.logs("cannot scrub the cache, trying again later: the disk is gone")
async def test_a_failing_disk_ends_the_round_and_not_the_mount(autojump_clock) -> None:
    asked = await scrubbed(Cache(CacheUnusable("the disk is gone"), None), 100, 1.5 * PAUSE_SECONDS)
    assert len(asked) == 2
