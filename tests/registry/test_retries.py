"""How long and how often a mount tries to reach a registry that does not answer."""

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import NotFound, Unreachable
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.ranges import OtherSize
from mkfs.registry.retries import CONNECT_SECONDS, DEADLINE_SECONDS, TRIES, pauses, persist


class Work:
    """Fails as told, then answers."""

    def __init__(self, *errors: Exception, seconds: float = 0.0) -> None:
        self.errors, self.seconds = list(errors), seconds
        self.tries = self.retries = 0
        self.allowed = TRIES

    async def __call__(self) -> str:
        self.tries += 1
        await trio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return "there"

    def may_retry(self) -> bool:
        self.retries += 1
        return self.retries <= self.allowed


def test_pauses_grow_and_no_two_clients_share_them() -> None:
    assert list(pauses(lambda: 0.5)) == [0.5, 1.5]
    assert list(pauses(lambda: 0.0)) == [0.25, 0.75]
    assert max(sum(pauses(lambda: 0.999)) for _ in range(3)) < 3.0


async def test_a_registry_that_stumbles_twice_is_reached(autojump_clock: MockClock) -> None:
    work = Work(Unreachable("reset"), Unreachable("reset"))
    assert await persist(work, work.may_retry) == "there"
    assert (work.tries, work.retries) == (3, 2)


async def test_the_last_error_is_told(autojump_clock: MockClock) -> None:
    work = Work(*(Unreachable(f"reset {number}") for number in range(9)))
    with pytest.raises(Unreachable, match="reset 2"):
        await persist(work, work.may_retry)
    assert work.tries == TRIES


async def test_what_may_not_be_tried_again_fails_at_once(autojump_clock: MockClock) -> None:
    work = Work(Unreachable("reset 0"), Unreachable("reset 1"))
    work.allowed = 1
    with pytest.raises(Unreachable, match="reset 1"):
        await persist(work, work.may_retry)
    assert (work.tries, work.retries) == (2, 2)


@pytest.mark.parametrize("error", [Hopeless("connection refused"), OtherSize("one byte less"), NotFound("no such tag")])
async def test_what_a_moment_does_not_mend_fails_at_once(error: Exception, autojump_clock: MockClock) -> None:
    work = Work(error)
    start = trio.current_time()
    with pytest.raises(type(error)):
        await persist(work, work.may_retry)
    assert (work.tries, trio.current_time()) == (1, start)


@pytest.mark.parametrize("seconds", [CONNECT_SECONDS, 2 * CONNECT_SECONDS, DEADLINE_SECONDS])
async def test_nobody_waits_longer_than_half_a_minute_for_a_registry_that_is_not_there(
    seconds: float, autojump_clock: MockClock
) -> None:
    work = Work(*(Unreachable("no connection") for _ in range(9)), seconds=seconds)
    start = trio.current_time()
    with pytest.raises(Unreachable):
        await persist(work, work.may_retry)
    assert trio.current_time() - start <= DEADLINE_SECONDS
