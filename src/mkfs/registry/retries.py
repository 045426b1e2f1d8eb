"""When a small request is tried again: a schedule without a clock, and the loop that follows it.

For what a mount waits for at its start (manifest, config, token). Ranges of layers have patience of their own, in `content/`.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import trio

from mkfs.errors import Unreachable
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.ranges import OtherSize
from mkfs.units import KIB

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)

TRIES: Final = 3
# A registry behind a load balancer that lost one node answers the next try; longer waits belong to a person.
FIRST_PAUSE_SECONDS: Final = 0.5
PAUSE_FACTOR: Final = 3.0
# A fleet that starts at once must not come back at once.
JITTER: Final = 0.5
CONNECT_SECONDS: Final = 10.0  # to a socket, and again to a finished TLS handshake
STALL_SECONDS: Final = 30.0  # without a byte within an answer (design, section 7)
# In as many seconds: less is a stall, too. A mebibyte would take a quarter of an hour, and nobody waits for a model so.
STALL_BYTES: Final = 32 * KIB
ANSWER_SECONDS: Final = 25.0  # until an answer begins: with the start of the command still within a person's `DEADLINE_SECONDS`
MIRROR_ANSWER_SECONDS: Final = 10.0  # the same where there is another host to ask
DEADLINE_SECONDS: Final = 30.0  # what a person waits for a registry that is not there


def pauses(draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before the second try, the third and so on; `draw` gives numbers within [0, 1)."""
    for number in range(TRIES - 1):
        yield FIRST_PAUSE_SECONDS * PAUSE_FACTOR**number * (1 + JITTER * (2 * draw() - 1))


async def persist(work: Callable[[], Awaitable[T]], may_retry: Callable[[], bool]) -> T:
    """The result of `work`, tried again while it raises `Unreachable` that is neither `Hopeless` nor `OtherSize`.

    No try begins that could not even fail to connect within `DEADLINE_SECONDS` of the beginning, and none that `may_retry`, asked
    before each further one, does not allow. Raises what the last try raised.
    """
    end = trio.current_time() + DEADLINE_SECONDS
    for pause in pauses():
        try:
            return await work()
        except (Hopeless, OtherSize):
            raise
        except Unreachable as error:
            if trio.current_time() + pause + CONNECT_SECONDS > end or not may_retry():
                raise
            _log.info("%s; trying again", error)
        await trio.sleep(pause)
    return await work()
