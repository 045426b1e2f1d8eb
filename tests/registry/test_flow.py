"""A body that drips is told from one that is slow."""

import pytest

from mkfs.registry.flow import Flow
from mkfs.registry.retries import STALL_BYTES, STALL_SECONDS


@pytest.mark.parametrize(("bytes_per_second", "drips"), [(10, True), (1000, True), (2 * STALL_BYTES // STALL_SECONDS, False)])
def test_too_few_bytes_for_too_long_are_a_trickle(bytes_per_second: int, *, drips: bool) -> None:
    flow, seen = Flow(), set()
    for _ in range(200):
        flow.came(int(bytes_per_second), 1.0)
        seen.add(flow.is_trickle)
    assert (True in seen) is drips


def test_a_stretch_has_to_be_over_before_it_is_judged() -> None:
    flow = Flow()
    flow.came(1, STALL_SECONDS - 0.1)
    assert not flow.is_trickle
    flow.came(1, 0.1)
    assert flow.is_trickle


def test_every_stretch_counts_for_itself() -> None:
    flow = Flow()
    flow.came(STALL_BYTES, STALL_SECONDS)
    assert not flow.is_trickle
    flow.came(1, STALL_SECONDS)
    assert flow.is_trickle, "what came before does not help"
