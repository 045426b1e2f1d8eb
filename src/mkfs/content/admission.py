"""Who goes first: requests for what somebody waits for, for what is likely to be read next, and for all the rest.

Theory. Every request for the bytes of a layer is *admitted* before it takes a buffer or a connection. What a reader waits for is
admitted at once. What runs ahead of readers is admitted while fewer requests are under way than the link rewards (`content.pace`):
behind demand, and not before somebody asked has what he asked for. Background work is admitted only while nothing else is under way
or waits. How urgent a request is may change while it waits: a reader may come who wants the same bytes.

Those who wait are admitted in the order they came, per urgency: whoever is behind a frontier (`content.frontier`) never overtakes
it.

Atomic between checkpoints: a request waits, or is counted in `under_way`, or is over.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import final

import trio
from msgspec import Struct

from mkfs.content.pace import Pace


@final
class Urgency(IntEnum):
    """The lower, the sooner."""

    DEMAND = 0  # somebody waits for it
    READAHEAD = 1  # likely to be read soon
    BACKGROUND = 2  # nobody asked


@final
class AdmissionStatistics(Struct, frozen=True):
    """A moment's counts of one mount's requests for bytes of layers."""

    demand: int  # under way: somebody waits for it
    readahead: int  # under way, ahead of readers
    background: int  # under way, and nobody asked
    waiting: int  # to be admitted
    streams: int  # how many at once the link rewards now


@dataclass(slots=True, eq=False)
class _Request:
    urgency: Callable[[], Urgency]
    admitted: trio.Event = field(default_factory=trio.Event)


@final
class Admission:
    """Admits the requests of one mount."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._under_way: list[_Request] = []
        self._waiting: list[_Request] = []  # in the order they came

    @asynccontextmanager
    async def admitted(self, urgency: Callable[[], Urgency]) -> AsyncGenerator[None, None]:
        """Waits until the request may begin; it is over when the block is left. Cancelling while it waits begins nothing."""
        request = _Request(urgency)
        self._waiting.append(request)
        self.reconsider()
        try:
            await request.admitted.wait()
            yield
        finally:
            (self._under_way if request.admitted.is_set() else self._waiting).remove(request)
            self.reconsider()

    def reconsider(self) -> None:
        """To be called when something became more urgent: admits whoever may begin now."""
        for request in sorted(self._waiting, key=lambda each: each.urgency()):
            if not self._may_begin(request.urgency()):
                break
            self._waiting.remove(request)
            self._under_way.append(request)
            request.admitted.set()
        self.pace.under_way(len(self._under_way), trio.current_time())

    def _may_begin(self, urgency: Urgency) -> bool:
        if urgency is Urgency.DEMAND:
            return True
        if len(self._under_way) >= self.pace.streams:
            return False
        return urgency is Urgency.READAHEAD or all(each.urgency() is Urgency.BACKGROUND for each in self._under_way)

    def received(self, count: int) -> None:
        """`count` bytes came for a request under way."""
        self.pace.received(count, trio.current_time())

    def statistics(self) -> AdmissionStatistics:
        """A snapshot; cheap enough for every poll."""
        urgencies = [request.urgency() for request in self._under_way]
        demand, readahead, background = (urgencies.count(each) for each in Urgency)
        return AdmissionStatistics(demand, readahead, background, len(self._waiting), self.pace.streams)


@final
class Waiters:
    """Who waits for one piece of work, and thereby how urgent it is: whoever leaves takes his urgency along."""

    __slots__ = ("_admission", "_counts")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._counts = [0] * len(Urgency)

    @contextmanager
    def counted(self, urgency: Urgency) -> Generator[None, None, None]:
        """Waits, for the length of the block."""
        self._counts[urgency] += 1
        self._admission.reconsider()
        try:
            yield
        finally:
            self._counts[urgency] -= 1

    def __bool__(self) -> bool:
        return any(self._counts)

    def urgency(self) -> Urgency:
        """The most urgent of those who wait; of nobody, the least."""
        return next((each for each in Urgency if self._counts[each]), Urgency.BACKGROUND)
