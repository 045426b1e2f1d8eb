"""Buffers: bounded, and yet whoever everything waits for never waits."""

import re
from mmap import mmap
from pathlib import Path

import trio
import trio.testing

from mkfs.content.buffers import RANGE_BYTES, Buffers


async def test_a_layer_gets_no_more_than_the_pool_holds(autojump_clock: trio.testing.MockClock) -> None:
    buffers = Buffers(capacity=2)
    held: list[mmap] = []

    async def greedy() -> None:
        while True:
            held.append(await buffers.borrow(lambda: False))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(greedy)
        await trio.testing.wait_all_tasks_blocked()
        assert (len(held), buffers.lent) == (2, 2)
        assert all(len(buffer) == RANGE_BYTES for buffer in held)
        nursery.cancel_scope.cancel()


async def test_the_urgent_is_served_while_another_holds_all(autojump_clock: trio.testing.MockClock) -> None:
    buffers = Buffers(capacity=1)
    await buffers.borrow(lambda: True)
    with trio.fail_after(1):
        await buffers.borrow(lambda: True)
    assert buffers.lent == 2


async def test_who_becomes_urgent_while_waiting_is_served(autojump_clock: trio.testing.MockClock) -> None:
    buffers = Buffers(capacity=1)
    mine = [await buffers.borrow(lambda: True)]
    await buffers.borrow(lambda: True)  # somebody else's, never given back

    async def wait_for_more() -> None:
        mine.append(await buffers.borrow(lambda: not mine))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_more)
        await trio.testing.wait_all_tasks_blocked()
        assert len(mine) == 1
        buffers.give_back(mine.pop())
        await trio.testing.wait_all_tasks_blocked()
        assert len(mine) == 1
    assert buffers.lent == 2


async def test_given_back_buffers_are_used_again(autojump_clock: trio.testing.MockClock) -> None:
    buffers = Buffers(capacity=1)
    first = await buffers.borrow(lambda: True)
    buffers.give_back(first)
    assert await buffers.borrow(lambda: True) is first


async def test_a_cancelled_wait_borrows_nothing(autojump_clock: trio.testing.MockClock) -> None:
    buffers = Buffers(capacity=1)
    held = [await buffers.borrow(lambda: True)]
    with trio.move_on_after(1):
        await buffers.borrow(lambda: False)
    buffers.give_back(held[0])
    assert buffers.lent == 0


async def test_a_buffer_takes_only_the_memory_that_is_filled() -> None:
    def anonymous_kib() -> int:
        return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

    buffers = Buffers(capacity=8)
    before = anonymous_kib()
    for buffer in [await buffers.borrow(lambda: False) for _ in range(8)]:
        buffer[:5] = b"small"
    assert anonymous_kib() - before < RANGE_BYTES // 1024  # of eight times as much
