"""Several works at once, one error out."""

from collections.abc import Awaitable, Callable, Iterable

import trio


async def all_done(works: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Runs all works at once and returns when every one has.

    The first failure cancels the others and is raised by itself, not in a group: a person gets one reason, a caller one type.
    """
    failures: list[Exception] = []

    async def guarded(work: Callable[[], Awaitable[object]], nursery: trio.Nursery) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - handed to the caller below
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(guarded, work, nursery)
    if failures:
        raise failures[0]
