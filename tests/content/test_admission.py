"""Who goes first."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing

from mkfs.content.admission import Admission, Urgency, Waiters
from mkfs.content.pace import LEAST_STREAMS

DEMAND, READAHEAD, BACKGROUND = Urgency.DEMAND, Urgency.READAHEAD, Urgency.BACKGROUND


class Office:
    """Requests that are admitted and go on until they are told to end."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.admission, self._nursery = Admission(), nursery
        self.under_way: list[str] = []
        self._ends: dict[str, trio.CancelScope] = {}

    async def ask(self, name: str, urgency: Urgency | Waiters) -> None:
        asked = urgency.urgency if isinstance(urgency, Waiters) else lambda: urgency

        async def work(scope: trio.CancelScope) -> None:
            with scope:
                async with self.admission.admitted(asked):
                    self.under_way.append(name)
                    try:
                        await trio.sleep_forever()
                    finally:
                        self.under_way.remove(name)

        self._ends[name] = trio.CancelScope()
        self._nursery.start_soon(work, self._ends[name])
        await trio.testing.wait_all_tasks_blocked()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].cancel()
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def office() -> AsyncGenerator[Office, None]:
    async with trio.open_nursery() as nursery:
        yield Office(nursery)
        nursery.cancel_scope.cancel()


async def test_what_somebody_waits_for_begins_at_once_however_much_is_under_way() -> None:
    async with office() as at:
        for number in range(50):
            await at.ask(str(number), DEMAND)
        assert len(at.under_way) == 50


async def test_what_is_guessed_waits_until_fewer_are_under_way_than_the_link_rewards() -> None:
    async with office() as at:
        for name in ("a", "b", "c"):
            await at.ask(name, DEMAND)
        await at.ask("guess", READAHEAD)
        await at.end("a")
        assert at.under_way == ["b", "c"]
        assert len(at.under_way) == LEAST_STREAMS
        await at.end("b")
        assert at.under_way == ["c", "guess"]


async def test_what_nobody_asked_for_waits_for_all_others() -> None:
    async with office() as at:
        await at.ask("background", BACKGROUND)
        await at.ask("more of it", BACKGROUND)
        assert at.under_way == ["background", "more of it"]
        await at.end("more of it")
        await at.ask("guess", READAHEAD)
        await at.ask("third", BACKGROUND)
        await at.end("background")
        assert at.under_way == ["guess"]
        await at.end("guess")
        assert at.under_way == ["third"]


async def test_those_who_wait_are_admitted_by_urgency_then_in_the_order_they_came() -> None:
    async with office() as at:
        await at.ask("x", DEMAND)
        await at.ask("y", DEMAND)
        await at.ask("late", BACKGROUND)
        for name in ("one", "two", "three"):
            await at.ask(name, READAHEAD)
        order = []
        for name in ("x", "y", "one", "two", "three"):
            await at.end(name)
            order.append(tuple(at.under_way))
        assert order == [("y", "one"), ("one", "two"), ("two", "three"), ("three",), ("late",)]


async def test_a_reader_who_comes_later_makes_a_request_urgent_and_takes_that_along_when_he_leaves() -> None:
    async with office() as at:
        waiters = Waiters(at.admission)
        assert not waiters
        with waiters.counted(READAHEAD):
            await at.ask("x", DEMAND)
            await at.ask("y", DEMAND)
            await at.ask("guess", waiters)
            assert "guess" not in at.under_way
            with waiters.counted(DEMAND):
                assert waiters.urgency() is DEMAND
                await trio.testing.wait_all_tasks_blocked()
                assert "guess" in at.under_way
            assert waiters.urgency() is READAHEAD
        assert waiters.urgency() is BACKGROUND


async def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    async with office() as at:
        await at.ask("x", DEMAND)
        await at.ask("y", DEMAND)
        await at.ask("one", READAHEAD)
        await at.ask("two", READAHEAD)
        await at.end("one", "x")
        assert at.under_way == ["y", "two"]
