"""Tasks that are cancelled at a chosen step of theirs, so that a test can try every await there is."""

from collections.abc import Awaitable, Callable

import trio

MOST_STEPS = 500  # of one request, or of several in a row: more on a busy machine, where answers come in more pieces


class Interrupt(trio.abc.Instrument):
    """Cancels each task it watches just before its nth step, counted from when it was begun."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.steps: dict[trio.lowlevel.Task, int] = {}
        self.scopes: dict[trio.lowlevel.Task, trio.CancelScope] = {}

    def watch(self, scope: trio.CancelScope) -> None:
        task = trio.lowlevel.current_task()
        self.steps[task], self.scopes[task] = 0, scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task in self.steps:
            self.steps[task] += 1
            if self.steps[task] == self.nth:
                self.scopes[task].cancel()


async def interrupted(work: Callable[[], Awaitable[None]], *, tasks: int, at_step: int) -> int:
    """Runs `work` in several tasks, each cancelled at that step of its own. Returns how many came through."""
    instrument = Interrupt(at_step)
    through = 0

    async def one() -> None:
        nonlocal through
        with trio.CancelScope() as scope:
            instrument.watch(scope)
            await work()
        through += not scope.cancelled_caught

    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(one)
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return through
