"""How many answers one client has open at once: of one host, and in all.

A host that hangs keeps its own slots and nobody else's: a mirror none of the registry behind it, a storage host none of the
registry that sent us there. Every way to the network is behind these, the pool's connections as well as the lane's with their
threads.

Atomic between checkpoints: a host is known here while somebody holds or waits for a slot of its. Who waits for a host holds
nothing; who has it waits for what all share last. Cancelling either wait leaves nothing behind.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, final

import trio

from mkfs.registry.urls import Origin

# Of one host: head and tail of twenty large layers in one round trip when a kit is mounted (with 16 it took five in all). Whether
# registries mind so many from one client was not tried.
HOST_SLOTS: Final = 40
# In all: a registry, a mirror and two storage hosts, each as busy as it gets. A registry may name a storage host for every blob,
# and a process has 1024 descriptors, where nobody says otherwise.
SLOTS: Final = 4 * HOST_SLOTS


@final
class Slots:
    """The slots of one client."""

    def __init__(self, host_slots: int = HOST_SLOTS, slots: int = SLOTS) -> None:
        self._host_slots, self._slots = host_slots, slots
        self._free = trio.Semaphore(slots)
        self._hosts: dict[Origin, _Host] = {}
        self._waits = 0

    @asynccontextmanager
    async def one(self, origin: Origin) -> AsyncGenerator[None, None]:
        """A slot of `origin` for the length of the block, as soon as there is one: first come, first served."""
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = _Host(trio.Semaphore(self._host_slots))
        host.users += 1
        try:
            self._waits += not (host.free.value and self._free.value)
            async with host.free, self._free:
                yield
        finally:
            host.users -= 1
            if not host.users:
                del self._hosts[origin]

    @property
    def taken(self) -> int:
        """How many are held now."""
        return self._slots - self._free.value

    @property
    def waits(self) -> int:
        """How many requests had to wait for one so far."""
        return self._waits


@final
@dataclass(slots=True, eq=False)
class _Host:
    free: trio.Semaphore
    users: int = field(default=0)  # those who hold a slot or wait for one
