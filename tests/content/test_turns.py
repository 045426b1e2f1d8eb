"""Turns between processes: who waits, how long, and who is overtaken."""

from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mkfs.cache.locks import OVERTAKE_SECONDS
from mkfs.content.turns import LONGEST_LOOK_SECONDS, SHOW_SECONDS, showing, take_turn
from tests.support.layers import LARGE, engine_at, quiet


class Elsewhere:
    """A lock that another process holds until `free`; `works` says whether that process shows progress."""

    def __init__(self, *, works: bool, overtaken: bool = False) -> None:
        self.overtaken = overtaken
        self.free, self.works = False, works
        self.shown = 0
        self.looks = 0
        self.free_at_look = 0
        self.overtaken_at_rank = 1

    def try_layer(self, rank: int = 0) -> bool:
        self.looks += 1
        return self.free or self.looks == self.free_at_look or rank >= self.overtaken_at_rank

    def try_chunk(self, number: int, rank: int = 0) -> bool:
        return self.free

    def progress(self, number: int | None = None) -> int:
        self.shown += self.works
        return self.shown

    def bump(self, number: int | None = None) -> None:
        self.shown += 1

    def is_overtaken(self, number: int | None = None) -> bool:
        return self.overtaken


async def test_a_free_turn_is_ours_at_once_and_others_wait_until_we_let_go(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache") as ours, engine_at(tmp_path / "cache") as theirs:
        mine, other = ours.cache.lock(LARGE.digest), theirs.cache.lock(LARGE.digest)
        await take_turn(ours, mine, None, "it")
        got = trio.Event()

        async def wait() -> None:
            await take_turn(theirs, other, None, "it")
            got.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not got.is_set()
            await take_turn(theirs, other, 3, "a chunk of it")
            mine.release_layer()


async def test_who_waits_looks_soon_at_first_and_then_twice_a_second(tmp_path: Path, autojump_clock: MockClock) -> None:
    lock = Elsewhere(works=True)
    lock.free_at_look = 9
    async with engine_at(tmp_path / "cache") as engine:
        started = trio.current_time()
        await take_turn(engine, lock, None, "it")
        assert trio.current_time() - started == pytest.approx(0.05 + 0.1 + 0.2 + 0.4 + 4 * LONGEST_LOOK_SECONDS)


async def test_a_holder_without_progress_is_overtaken_after_ten_seconds(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        started = trio.current_time()
        await take_turn(engine, Elsewhere(works=False), None, "it")
        assert OVERTAKE_SECONDS <= trio.current_time() - started <= OVERTAKE_SECONDS + 2 * LONGEST_LOOK_SECONDS


async def test_who_finds_that_another_one_overtakes_waits_as_long_for_that_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    lock = Elsewhere(works=False)
    lock.overtaken_at_rank = 2
    async with engine_at(tmp_path / "cache") as engine:
        started = trio.current_time()
        await take_turn(engine, lock, None, "it")
        assert 2 * OVERTAKE_SECONDS <= trio.current_time() - started <= 2 * OVERTAKE_SECONDS + 3 * LONGEST_LOOK_SECONDS


async def test_a_holder_that_works_is_waited_for_as_long_as_it_takes(tmp_path: Path, autojump_clock: MockClock) -> None:
    lock = Elsewhere(works=True)
    async with engine_at(tmp_path / "cache") as engine:

        async def finish() -> None:
            await trio.sleep(3600)
            lock.free = True

        engine.nursery.start_soon(finish)
        started = trio.current_time()
        await take_turn(engine, lock, 7, "it")
        assert trio.current_time() - started >= 3600


async def test_progress_is_shown_while_bytes_come_and_no_longer(tmp_path: Path, autojump_clock: MockClock) -> None:
    lock = Elsewhere(works=False)
    async with engine_at(tmp_path / "cache") as engine:
        with showing(engine, lock, (None, 3), lambda: int(trio.current_time() * 1000)):
            while lock.shown < 6:  # noqa: ASYNC110 - of two locks, in a thread: there is no event to wait for
                await trio.sleep(SHOW_SECONDS)
        await quiet(engine)  # one may be under way, in a thread, and this clock does not wait for it
        at_end = lock.shown
        await trio.sleep(60)
        assert lock.shown == at_end


async def test_a_fetch_that_stands_still_shows_no_progress(tmp_path: Path, autojump_clock: MockClock) -> None:
    lock = Elsewhere(works=False)
    async with engine_at(tmp_path / "cache") as engine:
        with showing(engine, lock, (None,), lambda: 0):
            await trio.sleep(60)
        assert lock.shown == 0


@pytest.mark.parametrize(("slept_seconds", "overtaken", "told"), [(0, True, 0), (60, True, 1), (60, False, 0)])
async def test_who_was_stopped_is_told_that_another_one_goes_on(
    tmp_path: Path, autojump_clock: MockClock, slept_seconds: float, overtaken: bool, told: int
) -> None:
    """Overtaken without having been stopped is who waits for a registry that stands still, and it may stand still for all."""
    calls: list[None] = []
    async with engine_at(tmp_path / "cache") as engine:
        with showing(engine, Elsewhere(works=False, overtaken=overtaken), (None,), lambda: 0, lambda: calls.append(None)):
            await trio.sleep(5)
            autojump_clock.jump(slept_seconds)
            await trio.sleep(5)
    assert len(calls) == told
