"""Retries are paid for: a registry that fails is not flooded, whoever reads there."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.registry.budget import ANSWERS_PER_RETRY, RESERVE, RetryBudget
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.retries import TRIES
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from tests.support.little_model import MANIFEST

NAMES = [Reference.parse(f"{host}.test/team/model:7b") for host in ("registry", "other")]


def test_a_host_begins_with_a_reserve_and_earns_more_by_answering() -> None:
    budget = RetryBudget()
    assert budget.is_full
    assert [budget.take() for _ in range(RESERVE + 1)] == [True] * RESERVE + [False]
    for _ in range(ANSWERS_PER_RETRY - 1):
        budget.answered(200)
    assert not budget.take()
    budget.answered(404)  # it is there, and copes
    assert budget.take()
    assert not budget.take()


@pytest.mark.parametrize("status", [408, 429, 500, 503, 504])
def test_an_answer_of_a_host_that_does_not_cope_earns_nothing(status: int) -> None:
    budget = RetryBudget()
    budget.take()
    for _ in range(10 * ANSWERS_PER_RETRY):
        budget.answered(status)
    assert not budget.is_full


@given(st.lists(st.booleans(), max_size=600), st.integers(0, 200))
def test_retries_are_never_more_than_the_reserve_and_a_share_of_the_answers(answers: list[bool], first: int) -> None:
    budget = RetryBudget()
    taken = sum(budget.take() for _ in range(first))
    for number, is_good in enumerate(answers, 1):
        budget.answered(200 if is_good else 500)
        taken += budget.take()
        assert taken <= RESERVE + sum(answers[:number]) // ANSWERS_PER_RETRY


@pytest.fixture
def hosts(registry: MemoryRegistry) -> dict[str, MemoryRegistry]:
    other = MemoryRegistry()
    other.push("team/model", "7b", MANIFEST)
    return {"registry.test": registry, "other.test": other}


@pytest.fixture
def client(hosts: dict[str, MemoryRegistry]) -> RegistryClient:
    return RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(hosts))


async def ask(client: RegistryClient, reference: Reference, times: int) -> int:
    """Asks for the manifest at once as often as that; how many got it."""
    got = 0

    async def one() -> None:
        nonlocal got
        try:
            await client.repository(reference).resolve(reference)
        except Unreachable:
            return
        got += 1

    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(one)
    return got


async def test_a_registry_that_fails_everything_gets_little_more_than_was_asked_of_it(
    client: RegistryClient, hosts: dict[str, MemoryRegistry], autojump_clock: MockClock
) -> None:
    broken = hosts["registry.test"]
    fault = broken.faults.install(Fault(Match(), faults.Status(503)))
    asked = 0
    for _ in range(20):
        assert await ask(client, NAMES[0], 30) == 0
        asked += 30
    assert len(broken.log) == asked + RESERVE < asked * TRIES
    said = client.statistics()
    assert (said.retries, said.requests) == (RESERVE, asked + RESERVE)
    assert asked - RESERVE < said.retries_denied < asked  # once each, but for those who had all their tries

    assert await ask(client, NAMES[1], 1) == 1  # other hosts have budgets of their own
    hosts["other.test"].faults.install(Fault(Match(), faults.Status(503), times=2))
    assert await ask(client, NAMES[1], 1) == 1

    broken.faults.mend(fault)  # and it earns its own anew
    assert await ask(client, NAMES[0], ANSWERS_PER_RETRY) == ANSWERS_PER_RETRY
    broken.faults.install(Fault(Match(), faults.Status(503), times=1))
    assert await ask(client, NAMES[0], 1) == 1
    broken.faults.install(Fault(Match(), faults.Status(503), times=1))
    assert await ask(client, NAMES[0], 1) == 0


async def test_who_reads_layers_earns_retries_for_who_asks_for_little(
    client: RegistryClient, hosts: dict[str, MemoryRegistry], blob: Descriptor, autojump_clock: MockClock
) -> None:
    fault = hosts["registry.test"].faults.install(Fault(Match(), faults.Status(503)))
    await ask(client, NAMES[0], RESERVE)
    hosts["registry.test"].faults.mend(fault)
    for _ in range(ANSWERS_PER_RETRY):
        await client.repository(NAMES[0]).read_blob(blob)
    hosts["registry.test"].faults.install(Fault(Match(), faults.Status(503), times=1))
    assert await ask(client, NAMES[0], 1) == 1


async def test_a_host_that_earned_all_of_it_back_is_not_kept_in_mind(
    client: RegistryClient, hosts: dict[str, MemoryRegistry], autojump_clock: MockClock
) -> None:
    hosts["registry.test"].faults.install(Fault(Match(), faults.Status(503), times=1))
    assert await ask(client, NAMES[0], 1) == 1
    assert client._transport._budgets
    assert await ask(client, NAMES[0], ANSWERS_PER_RETRY) == ANSWERS_PER_RETRY
    assert not client._transport._budgets
