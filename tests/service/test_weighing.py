"""How full the cache is: how often that is looked at, and who waits for it."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from mkfs.cache.eviction import Disk, Limits
from mkfs.content.engine import Engine
from mkfs.errors import CacheUnusable
from mkfs.service.weighing import PART, WAIT_SECONDS, Space, Weigher


class Cache:
    """Weighs as told: so many bytes, on a disk of 100 of which 10 are free."""

    limits = Limits(0.0)

    def __init__(self, *answers: int | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    def occupied_bytes(self) -> int:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def disk(self) -> Disk:
        return Disk(100, 10, 100, 10)


@asynccontextmanager
async def weighing(cache: Cache) -> AsyncGenerator[Weigher, None]:
    async with trio.open_nursery() as nursery:
        yield Weigher(cast("Engine", SimpleNamespace(nursery=nursery, cache=cache)))
        nursery.cancel_scope.cancel()


@pytest.fixture
def disk_seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each look at the disk takes, one after another: the clock of these tests does not wait for threads."""
    left: list[float] = []

    async def slowly(work, *arguments, **_how):
        await trio.sleep(left.pop(0))
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", slowly)
    return left


async def size_of(weigher: Weigher) -> int | None:
    space = await weigher.space()
    return None if space is None else space.size_bytes


async def test_the_cache_is_weighed_for_a_share_of_the_time(disk_seconds: list[float], autojump_clock: MockClock) -> None:
    cache = Cache(1, CacheUnusable("gone"), 4)
    disk_seconds += [1, 1, 1]
    async with weighing(cache) as weigher:
        seen = []
        for _ in range(3):
            seen += [await size_of(weigher), await size_of(weigher)]
            await trio.sleep(PART - 1.5)
            seen.append(await size_of(weigher))
            await trio.sleep(0.5)
    assert seen == [1, 1, 1, None, None, None, 4, 4, 4]
    assert cache.asked == 3


async def test_a_small_cache_is_weighed_whenever_somebody_asks(disk_seconds: list[float], autojump_clock: MockClock) -> None:
    disk_seconds += [0, 0]
    async with weighing(Cache(1, 2)) as weigher:
        assert [await size_of(weigher), await size_of(weigher)] == [1, 2]


async def test_who_comes_meanwhile_waits_for_the_same_look_and_not_too_long(
    disk_seconds: list[float], autojump_clock: MockClock
) -> None:
    cache, told = Cache(7), []

    async def ask(weigher: Weigher, after_seconds: float) -> None:
        await trio.sleep(after_seconds)
        told.append((await size_of(weigher), trio.current_time() - began))

    began = trio.current_time()
    disk_seconds += [WAIT_SECONDS + 1]
    async with weighing(cache) as weigher, trio.open_nursery() as nursery:
        for seconds in (0, WAIT_SECONDS / 2, WAIT_SECONDS + 0.5, WAIT_SECONDS + 2):
            nursery.start_soon(ask, weigher, seconds)
    told.sort(key=lambda each: each[1])
    assert told == [(None, WAIT_SECONDS)] * 2 + [(None, WAIT_SECONDS + 0.5), (7, WAIT_SECONDS + 2)]
    assert cache.asked == 1


async def test_a_disk_that_hangs_holds_nobody_up_and_is_asked_once(autojump_clock: MockClock) -> None:
    asked, released = threading.Event(), threading.Event()

    class Hanging(Cache):
        def occupied_bytes(self) -> int:
            self.asked += 1
            asked.set()
            released.wait(60)
            return 1

    cache, begun = Hanging(), trio.current_time()
    async with weighing(cache) as weigher:
        for _ in range(3):
            assert await weigher.space() is None
            await trio.sleep(60)
        assert trio.current_time() - begun == pytest.approx(WAIT_SECONDS + 180)
    assert asked.wait(60)
    released.set()
    assert cache.asked == 1


async def test_who_gives_up_leaves_the_look_to_others(disk_seconds: list[float], autojump_clock: MockClock) -> None:
    disk_seconds += [1]
    async with weighing(Cache(7)) as weigher:
        with trio.move_on_after(0.5):
            await weigher.space()
        assert await size_of(weigher) == 7


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(0.0), 60),
        (Limits(0.05), 55),
        (Limits(0.5), 50),
        (Limits(0.0, 4), 56),
        (Limits(0.0, 0, 20), 20),
        (Limits(0.0, 0, 90), 60),
    ],
)
def test_the_limit_is_what_may_be_occupied_as_things_are(limits: Limits, limit: int) -> None:
    cache = Cache(50)
    cache.limits = limits
    assert Space.of(cache) == Space(50, limit, 10, limits.kept_bytes(cache.disk()))
