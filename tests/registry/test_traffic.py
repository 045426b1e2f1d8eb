"""What became of requests, counted as the registry itself counted them."""

from collections import Counter
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.traffic import METHODS, NO_ANSWER, OUTCOMES, Traffic
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry


def outcomes(client: RegistryClient) -> Counter[tuple[str, str]]:
    return +Counter(client.statistics().traffic.outcomes)


def seen(registry: MemoryRegistry) -> Counter[tuple[str, str]]:
    """What the registry answered."""
    return Counter((served.method, f"{served.status // 100}xx") for served in registry.log)


async def read(client: RegistryClient, reference: Reference, blob: Descriptor) -> None:
    async with client.repository(reference).open_range(blob, ByteRange(0, blob.size_bytes)) as body:
        async for _ in body:
            pass


async def test_answers_are_counted_by_method_and_class(
    client: Callable[..., RegistryClient], registry: MemoryRegistry, reference: Reference, blob: Descriptor
) -> None:
    one = client()
    repository = one.repository(reference)
    await repository.resolve(reference)
    await repository.head_blob(blob)
    registry.faults.install(Fault(Match(), faults.Status(500), times=1))
    with pytest.raises(Unreachable):
        await read(one, reference, blob)
    await read(one, reference, blob)
    assert outcomes(one) == seen(registry)
    assert {"GET 2xx", "GET 5xx", "HEAD 2xx"} == {" ".join(key) for key in outcomes(one)}
    told = one.statistics().traffic
    assert told.first_byte_seconds.cumulative[-1] == told.total_seconds.cumulative[-1] == len(registry.log)
    assert told.broken == 0


async def test_an_answer_that_breaks_off_is_counted_as_broken(
    client: Callable[..., RegistryClient], registry: MemoryRegistry, reference: Reference, blob: Descriptor
) -> None:
    one = client()
    registry.faults.install(Fault(Match(), faults.Reset(after_bytes=10), times=1))
    with pytest.raises(Unreachable):
        await read(one, reference, blob)
    assert (one.statistics().traffic.broken, outcomes(one)) == (1, {("GET", "2xx"): 1})


async def test_what_nobody_answers_and_what_nobody_wants_are_two_things(
    client: Callable[..., RegistryClient],
    registry: MemoryRegistry,
    reference: Reference,
    blob: Descriptor,
    autojump_clock: MockClock,
) -> None:
    one = client()
    hanging = registry.faults.install(Fault(Match(), faults.Delay(1000)))
    with trio.move_on_after(1):
        await read(one, reference, blob)
    assert outcomes(one) == {("GET", "cancelled"): 1}
    with pytest.raises(Unreachable):
        await read(one, reference, blob)
    assert outcomes(one) == {("GET", "cancelled"): 1, ("GET", NO_ANSWER): 1}
    registry.faults.mend(hanging)
    assert one.statistics().traffic.first_byte_seconds.cumulative[-1] == 0


def test_no_server_and_no_caller_makes_a_label_of_its_own() -> None:
    traffic = Traffic()
    for method, status in (("GET", 999), ("GET", 0), ("BREW", 418), ("GET", 100)):
        traffic.answered(method, status, 0.1)
    told = traffic.snapshot().outcomes
    assert {method for method, _ in told} <= set(METHODS)
    assert {outcome for _, outcome in told} <= set(OUTCOMES)
    assert (told["GET", "other"], told["other", "4xx"]) == (2, 1)
