"""Turns between processes: who fetches a layer, or a chunk of it, while the others wait for what it brings.

Theory. The locks (`cache.locks`) are tried without waiting and looked at again after a while, first soon, then twice a second: a
wait in the kernel would burn a thread that nobody can cancel. The holder shows its progress while bytes come; who sees none for
`OVERTAKE_SECONDS` goes on without the lock. That is safe: what is fetched is proven by whoever fetched it, a whole layer in a
staging of its own, a chunk in private memory. An overtaken holder that wakes up finds its work done, and does no harm.

So a turn saves bytes and promises nothing: whoever got one looks first whether the work is done meanwhile.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from mkfs.cache.locks import OVERTAKE_SECONDS, LayerLock, Overtaking
from mkfs.content.engine import Engine
from mkfs.units import format_duration

log = logging.getLogger(__name__)

# A chunk takes tens of milliseconds, a layer minutes: who waits looks soon at first, and is never late by more than the second.
FIRST_LOOK_SECONDS: Final = 0.05
LONGEST_LOOK_SECONDS: Final = 0.5
# Waiters want to see progress at least once a second.
SHOW_SECONDS: Final = 0.5


async def take_turn(engine: Engine, lock: LayerLock, number: int | None, label: str) -> bool:
    """Returns True when the lock on chunk `number` (None: on the whole layer) is ours, False when its holder is to be overtaken.

    Release it in either case: that is harmless without the lock. Cancelling may leave it taken; release it then, too.
    """

    def look() -> int | None:
        taken = lock.try_layer() if number is None else lock.try_chunk(number)
        return None if taken else lock.progress(number)

    overtaking: Overtaking | None = None
    delay = FIRST_LOOK_SECONDS
    while (progress := await engine.on_disk(look)) is not None:
        now = trio.current_time()
        if overtaking is None:
            overtaking = Overtaking(progress, now)
            log.info("another process fetches %s: waiting for it", label)
        elif overtaking.may_overtake(progress, now):
            log.info("whoever fetches %s shows no progress for %s: going on alone", label, format_duration(OVERTAKE_SECONDS))
            return False
        await trio.sleep(delay)
        delay = min(delay * 2, LONGEST_LOOK_SECONDS)
    return True


@contextmanager
def showing(engine: Engine, lock: LayerLock, numbers: Iterable[int | None], amount: Callable[[], int]) -> Iterator[None]:
    """Shows those who wait for our locks on `numbers` that work goes on, as long as `amount` changes."""
    scope = trio.CancelScope()
    engine.nursery.start_soon(_show, engine, lock, tuple(numbers), amount, scope)
    try:
        yield
    finally:
        scope.cancel()


async def _show(
    engine: Engine, lock: LayerLock, numbers: tuple[int | None, ...], amount: Callable[[], int], scope: trio.CancelScope
) -> None:
    def bump() -> None:
        for number in numbers:
            lock.bump(number)

    shown = 0
    with scope:
        while True:
            await trio.sleep(SHOW_SECONDS)  # first: most chunks are here by then
            current = amount()
            if current != shown:
                shown = current
                await engine.on_disk(bump)
