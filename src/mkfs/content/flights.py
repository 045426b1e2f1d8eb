"""One flight per key: many tasks want the same thing, one of them gets it for all.

Theory. A *flight* is work for a key that somebody waits for. Joining is synchronous up to the first wait: looking the key up,
starting the work and counting oneself in happen between two checkpoints, so two tasks cannot both start it. The work runs
in the owner's nursery, not in the task that happened to come first: a reader that is cancelled must not take the
others' bytes with it. When the last waiter leaves, the work is cancelled and the key is free at once, so a later caller
starts afresh instead of waiting for a corpse.

Not promised: fairness, re-entrancy (work that joins its own key waits for itself), a cache (a landed flight is forgotten).
"""

import copy
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast, final

import trio
from msgspec import Struct

from mkfs.errors import Closing

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@final
class FlightStatistics(Struct, frozen=True):
    """A moment's counts, for `status` and tests."""

    airborne: int  # flights somebody waits for
    waiting: int  # tasks that wait, over all flights
    started: int  # flights since the beginning
    joined: int  # calls that found a flight under way


def _closing() -> Exception:
    return Closing("the mount is closing")


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    landed: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    waiters: int = 0
    value: V | None = None
    error: Exception | None = field(default_factory=_closing)  # until the work says otherwise


@final
class Flights(Generic[K, V]):
    """Keyed single flight on one trio loop.

    Atomic between checkpoints: `_flights` holds a key if and only if its work runs and at least one task waits for it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._flights: dict[K, _Flight[V]] = {}
        self._started = self._joined = 0

    async def join(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """The result of `work()` for `key`, shared with every task that asks while it runs.

        Cancelling this call leaves the flight to the other waiters. Raises `Closing` when the nursery is cancelled. What
        `work` raises, every waiter gets as a copy of its own (a shared exception would collect the tracebacks of all tasks),
        with the original as its cause; so an exception's `args` must rebuild it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight()
            self._nursery.start_soon(self._run, key, flight, work)  # first: a closed nursery raises and leaves no key
            self._flights[key] = flight
            self._started += 1
        else:
            self._joined += 1
        flight.waiters += 1
        try:
            await flight.landed.wait()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.landed.is_set():
                flight.scope.cancel()
                self._forget(key, flight)
        if flight.error is not None:
            raise copy.copy(flight.error) from flight.error
        return cast(V, flight.value)

    async def _run(self, key: K, flight: _Flight[V], work: Callable[[], Awaitable[V]]) -> None:
        try:
            with flight.scope:
                flight.value, flight.error = await work(), None
        except Exception as error:  # noqa: BLE001 - handed to the waiters, who are its callers
            flight.error = error
        finally:  # also when the nursery is cancelled: whoever waits outside it must not wait for ever
            self._forget(key, flight)
            flight.landed.set()

    def _forget(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:  # a newer flight may have the key by now
            del self._flights[key]

    def statistics(self) -> FlightStatistics:
        """A snapshot; cheap enough for every poll."""
        waiting = sum(flight.waiters for flight in self._flights.values())
        return FlightStatistics(len(self._flights), waiting, self._started, self._joined)
