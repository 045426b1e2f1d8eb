"""Dependent round trips, counted: a registry that answers nobody until nobody asks any more, then everybody at once.

Requests that arrive before any of them is answered do not depend on each other: they are one wave. So the number of waves until the
client is done is the number of round trips it has to wait for, whatever each of them takes.
"""

from collections.abc import Callable
from typing import Final

from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.log import Served
from mkfs.testing.registry import MemoryRegistry

# How long nobody must ask before a wave is complete: a client on this machine needs milliseconds from an answer to what follows.
_QUIET_SECONDS: Final = 0.5


def waves(
    registry: MemoryRegistry, is_done: Callable[[], bool], is_busy: Callable[[], bool] = lambda: False
) -> list[tuple[Served, ...]]:
    """Serves `registry`'s client wave by wave until `is_done`. Each wave's requests; the registry answers freely afterwards.

    `is_busy`: whether the client may be about to ask, though it did not for a while. It may have waited for a processor.
    """
    found: list[tuple[Served, ...]] = []
    seen = len(registry.log)
    fault = registry.faults.install(Fault(Match(), Withhold()))
    while True:
        withhold = fault.action
        assert isinstance(withhold, Withhold)
        if not withhold.gate.wait_until_held(1, timeout_seconds=_QUIET_SECONDS):
            if is_done():
                break
            continue
        while withhold.gate.wait_until_held(withhold.gate.waiting + 1, timeout_seconds=_QUIET_SECONDS) or is_busy():
            pass
        requests = registry.requests()
        found.append(requests[seen:])
        seen = len(requests)
        following = registry.faults.install(Fault(Match(), Withhold()))
        registry.faults.mend(fault)
        withhold.release()
        fault = following
    registry.faults.mend(fault)
    return found
