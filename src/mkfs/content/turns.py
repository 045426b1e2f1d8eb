"""Turns between processes: who fetches a layer, or a chunk of it, while the others wait for what it brings.

Theory. The locks (`cache.locks`) are tried without waiting and looked at again after a while, first soon, then twice a second: a
wait in the kernel would burn a thread that nobody can cancel. The holder shows its progress while bytes come; of those who see none
for `OVERTAKE_SECONDS` one goes on in the holder's place. That is safe: what is fetched is proven by whoever fetched it, a whole
layer in a staging of its own, a chunk in private memory. A holder that was stopped and wakes up later finds its work done, or in
other hands: it does no harm, and need not fetch the rest of a layer.

So a turn saves bytes and promises nothing: whoever got one looks first whether the work is done meanwhile.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio

from mkfs.cache.locks import LayerLock, Overtaking
from mkfs.content.engine import Engine
from mkfs.units import format_duration

log = logging.getLogger(__name__)

# A chunk takes tens of milliseconds, a layer minutes: who waits looks soon at first, and is never late by more than the second.
FIRST_LOOK_SECONDS: Final = 0.05
LONGEST_LOOK_SECONDS: Final = 0.5
# Waiters want to see progress at least once a second.
SHOW_SECONDS: Final = 0.5


async def take_turn(engine: Engine, lock: LayerLock, number: int | None, label: str) -> None:
    """Returns when the lock on chunk `number` (None: on the whole layer) is ours, or we have overtaken its holder.

    Release it in either case. Cancelling may leave it taken; release it then, too.
    """
    overtaking: Overtaking | None = None

    def look() -> int | None:
        rank = 0 if overtaking is None else overtaking.rank
        if not (lock.try_layer(rank) if number is None else lock.try_chunk(number, rank)):
            return lock.progress(number)
        lock.bump(number)
        return None

    delay = FIRST_LOOK_SECONDS
    while (progress := await engine.on_disk(look)) is not None:
        if overtaking is None:
            overtaking = Overtaking(progress, trio.current_time(), engine.overtake_seconds)
            log.info("another process fetches %s: waiting for it", label)
        else:
            overtaking.look(progress, trio.current_time())
        await trio.sleep(delay)
        delay = min(delay * 2, LONGEST_LOOK_SECONDS)
    if overtaking is not None and overtaking.rank:
        log.info("whoever fetches %s shows no progress for %s: overtaken", label, format_duration(engine.overtake_seconds))


@contextmanager
def showing(
    engine: Engine,
    lock: LayerLock,
    numbers: Iterable[int | None],
    amount: Callable[[], int],
    overtaken: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Shows those who wait for our locks on `numbers` that work goes on, as long as `amount` changes.

    `overtaken` is called, once, when this process was stopped for a while and has been overtaken on the first of `numbers`
    meanwhile. Not when it is the registry that stands still for us: whoever overtook us may have to wait for it as well.
    """
    scope = trio.CancelScope()
    engine.nursery.start_soon(partial(_show, engine, lock, tuple(numbers), scope, amount=amount, overtaken=overtaken))
    try:
        yield
    finally:
        scope.cancel()


async def _show(
    engine: Engine,
    lock: LayerLock,
    numbers: tuple[int | None, ...],
    scope: trio.CancelScope,
    *,
    amount: Callable[[], int],
    overtaken: Callable[[], None] | None,
) -> None:
    def bump() -> None:
        for number in numbers:
            lock.bump(number)

    shown, awake = 0, trio.current_time()
    with scope:
        while True:
            await trio.sleep(SHOW_SECONDS)  # first: most chunks are here by then
            before, awake = awake, trio.current_time()
            was_stopped = awake - before >= engine.overtake_seconds / 2
            if was_stopped and overtaken is not None and await engine.on_disk(lock.is_overtaken, numbers[0]):
                overtaken()
                return
            current = amount()
            if current != shown:
                shown = current
                await engine.on_disk(bump)
