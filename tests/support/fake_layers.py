"""Layers without a registry: `LayerReads` that keep their promises in the plainest way, or break one on purpose."""

from dataclasses import dataclass, field

import trio

from mkfs.content.reads import Cause, Obstacle, RangeFacts
from mkfs.errors import MkfsError
from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange

LAYER = Digest.of(b"layer")


class _Proven:
    """Facts of a layer that is all here."""

    def obstacle(self, wanted: ByteRange) -> Obstacle:
        return Obstacle(Cause.DISK)

    async def facts(self, wanted: ByteRange) -> RangeFacts:
        return RangeFacts(LAYER, Trust.OWN, wanted.length)


class _Unproven:
    """Facts of a layer that nobody knows anything of."""

    def obstacle(self, wanted: ByteRange) -> Obstacle:
        return Obstacle(Cause.PROOF, 0, wanted.length, ("registry.test",))

    async def facts(self, wanted: ByteRange) -> RangeFacts:
        return RangeFacts(LAYER, Trust.LAYER, 0)


@dataclass(eq=False)
class MemoryLayer(_Proven):
    """Has all its bytes at hand, and remembers what it was asked for."""

    data: bytes
    asked: list[ByteRange] = field(default_factory=list)

    def read_now(self, wanted: ByteRange) -> memoryview | None:
        self.asked.append(wanted)
        return memoryview(self.data)[wanted.start : wanted.stop]

    async def read(self, wanted: ByteRange) -> bytes:
        raise AssertionError("asked to wait for bytes it had at once")


@dataclass(eq=False)
class LateLayer(_Proven):
    """Has bytes at hand only below `frontier`; the rest it hands out when asked to wait."""

    data: bytes
    frontier: int = 0

    def read_now(self, wanted: ByteRange) -> bytes | None:
        return self.data[wanted.start : wanted.stop] if wanted.stop <= self.frontier else None

    async def read(self, wanted: ByteRange) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.data[wanted.start : wanted.stop]


@dataclass(eq=False)
class SlowLayer(_Unproven):
    """Has nothing at hand and answers nobody until `open` is set: then zeros, as many as asked for."""

    open: trio.Event = field(default_factory=trio.Event)
    waiting: int = 0
    arrivals: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    async def besieged(self, readers: int) -> None:
        """Returns when so many wait."""
        while self.waiting < readers:
            await self.arrivals.park()

    def read_now(self, wanted: ByteRange) -> bytes | None:
        return None

    async def read(self, wanted: ByteRange) -> bytes:
        self.waiting += 1
        self.arrivals.unpark_all()
        await self.open.wait()
        self.waiting -= 1
        return bytes(wanted.length)


@dataclass(eq=False)
class BrokenLayer(_Unproven):
    """Fails every read with `error`."""

    error: Exception = field(default_factory=lambda: MkfsError("the layer is broken"))

    def read_now(self, wanted: ByteRange) -> bytes | None:
        return None

    async def read(self, wanted: ByteRange) -> bytes:
        raise self.error
