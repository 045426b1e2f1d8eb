"""Reads that wait when a mount ends: each is answered or refused, and the end has a bound."""

from math import inf

import trio
import trio.testing
from trio.testing import MockClock

from mkfs.fuse.waiting import Waiting


class Reader:
    """Reads for `seconds`, `times` after one another, whatever it gets."""

    def __init__(self, waiting: Waiting, seconds: float, times: int = 1) -> None:
        self.waiting, self.seconds, self.times = waiting, seconds, times
        self.answers: list[str] = []

    async def read(self) -> None:
        for _ in range(self.times):
            with self.waiting.wait():
                await trio.sleep(self.seconds)
                self.answers.append("answered")
                continue
            self.answers.append("refused" if self.waiting.ended else "late")
            await trio.sleep(0.05)  # the kernel tries again


async def test_nobody_who_waits_is_waited_for(autojump_clock: MockClock) -> None:
    begin = trio.current_time()
    await Waiting().end(5)
    assert trio.current_time() == begin


async def test_who_is_answered_in_time_is_answered_and_the_others_are_refused_at_the_deadline(autojump_clock: MockClock) -> None:
    waiting = Waiting()
    readers = [Reader(waiting, seconds) for seconds in (1, 4, 6, inf)]
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.read)
        await trio.testing.wait_all_tasks_blocked()
        begin = trio.current_time()
        await waiting.end(5)
        assert 5 <= trio.current_time() - begin < 7
    assert [reader.answers for reader in readers] == [["answered"], ["answered"], ["refused"], ["refused"]]


async def test_the_end_comes_early_where_all_are_answered(autojump_clock: MockClock) -> None:
    waiting, begin = Waiting(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reader(waiting, 1).read)
        await trio.testing.wait_all_tasks_blocked()
        await waiting.end(60)
        assert trio.current_time() - begin < 2


async def test_who_tries_again_after_a_refusal_is_refused_too(autojump_clock: MockClock) -> None:
    """As the kernel does, with the page whose read-ahead failed."""
    waiting = Waiting()
    reader = Reader(waiting, inf, times=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read)
        await trio.testing.wait_all_tasks_blocked()
        await waiting.end(5)
        assert reader.answers == ["refused", "refused"]


async def test_stubborn_readers_do_not_hold_up_the_end(autojump_clock: MockClock) -> None:
    waiting, begin = Waiting(), trio.current_time()

    async def insist() -> None:
        while True:
            with waiting.wait():
                await trio.sleep(0.01)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(insist)
        await trio.testing.wait_all_tasks_blocked()
        await waiting.end(5)
        assert trio.current_time() - begin < 7
        nursery.cancel_scope.cancel()


async def test_a_second_order_refuses_all_at_once(autojump_clock: MockClock) -> None:
    waiting = Waiting()
    reader = Reader(waiting, inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.read)
        await trio.testing.wait_all_tasks_blocked()
        begin = trio.current_time()
        with trio.move_on_after(1):
            await waiting.end(60)
        await trio.testing.wait_all_tasks_blocked()
        assert (reader.answers, trio.current_time() - begin) == (["refused"], 1)


async def test_a_wait_of_its_own_length_is_late_and_not_refused(autojump_clock: MockClock) -> None:
    waiting = Waiting()
    with waiting.wait(3):
        await trio.sleep(inf)
    assert not waiting.ended
