"""Flights: who starts, who shares, who may leave. No sleeps: time is trio's autojump clock, order is `wait_all_tasks_blocked`."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from mkfs.content.flights import Flights
from mkfs.errors import Closing


class Origin:
    """Counts what is asked of it and answers when told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.open = trio.Event()

    def work(self, key: str) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            self.asked.append(key)
            try:
                await self.open.wait()
            except trio.Cancelled:
                self.cancelled.append(key)
                raise
            return key.upper()

        return work


@pytest.fixture
def origin() -> Origin:
    return Origin()


async def test_eight_readers_of_one_key_cost_one_request(origin: Origin, autojump_clock: trio.testing.MockClock) -> None:
    got: list[str] = []
    async with trio.open_nursery() as nursery:
        flights: Flights[str, str] = Flights(nursery)

        async def reader() -> None:
            got.append(await flights.join("a", origin.work("a")))

        for _ in range(8):
            nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        assert flights.statistics().waiting == 8
        origin.open.set()
    assert (origin.asked, got) == (["a"], ["A"] * 8)
    assert flights.statistics().airborne == 0


async def test_a_cancelled_first_reader_leaves_the_bytes_to_the_others(
    origin: Origin, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        flights: Flights[str, str] = Flights(nursery)
        first = trio.CancelScope()

        async def leave() -> None:
            with first:
                await flights.join("a", origin.work("a"))

        async def stay() -> None:
            assert await flights.join("a", origin.work("a")) == "A"

        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(stay)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        origin.open.set()
    assert (origin.asked, origin.cancelled) == (["a"], [])


async def test_nobody_waits_for_a_corpse(origin: Origin, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        flights: Flights[str, str] = Flights(nursery)
        with trio.move_on_after(1):
            await flights.join("a", origin.work("a"))
        assert flights.statistics().airborne == 0
        origin.open.set()
        assert await flights.join("a", origin.work("a")) == "A"
    assert (origin.asked, origin.cancelled) == (["a", "a"], ["a"])


async def test_each_waiter_gets_an_error_of_its_own(origin: Origin, autojump_clock: trio.testing.MockClock) -> None:
    async def fail() -> str:
        await origin.open.wait()
        raise OSError(5, "no such luck")

    errors: list[OSError] = []
    async with trio.open_nursery() as nursery:
        flights: Flights[str, str] = Flights(nursery)

        async def reader() -> None:
            with pytest.raises(OSError, match="no such luck") as caught:
                await flights.join("a", fail)
            errors.append(caught.value)

        for _ in range(2):
            nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        origin.open.set()
    assert errors[0] is not errors[1]
    assert [error.errno for error in errors] == [5, 5]
    assert errors[0].__cause__ is errors[1].__cause__


async def test_closing_the_owner_frees_those_who_wait_outside(origin: Origin, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as outside, trio.open_nursery() as owner:
        flights: Flights[str, str] = Flights(owner)

        async def reader() -> None:
            with pytest.raises(Closing):
                await flights.join("a", origin.work("a"))

        outside.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        owner.cancel_scope.cancel()
    assert origin.cancelled == ["a"]


async def test_a_closed_owner_leaves_no_key_behind(origin: Origin, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as owner:
        flights: Flights[str, str] = Flights(owner)
    with pytest.raises(RuntimeError, match="Nursery is closed"):
        await flights.join("a", origin.work("a"))
    assert flights.statistics().airborne == 0
