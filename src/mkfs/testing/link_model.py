"""The arithmetic of a link: which bytes leave when, and when they arrive. Pure: times come in as nanoseconds, nothing here waits.

Theory. A link has two `Wire`s, one per direction. A wire carries one piece at a time, at the link's rate; the flows (one per
connection) that have something to send and room in their window take turns, a piece each. A piece arrives when its last bit has
left and the delay is over, and its acknowledgement is back another delay after the receiver took it. A flow's window is how much of
it may be under way unacknowledged: it begins with ten segments (RFC 6928) and grows by what is acknowledged, which doubles it per
round trip (RFC 5681, slow start), up to a limit. There is no loss, so that limit is the end of it: a connection never gets more
than a window per round trip.

Not modelled: headers (a byte of content takes eight bits), the acknowledgements' share of the other direction, loss, queues, the
slow start after a pause (RFC 5681, section 4.1).
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, final

from mkfs.units import KIB, MIB

SEGMENT_BYTES: Final = 1460  # of content, in an Ethernet frame of 1500 bytes with headers of 20 bytes each
_FIRST_WINDOW_BYTES: Final = 10 * SEGMENT_BYTES  # RFC 6928
_WINDOW_LIMIT_BYTES: Final = 4 * MIB  # Linux: what a socket's buffer grows to where nobody tuned it (tcp_wmem)
# One piece takes this long, so that turns are short and a machine still has some hundred microseconds for each.
_PIECE_NS: Final = 500_000
_SECOND_NS: Final = 10**9


@final
@dataclass(frozen=True, slots=True)
class Stall:
    """Of every connection: byte `after_bytes` of what the origin sends leaves `seconds` later than it could."""

    after_bytes: int
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """What a link is like. `bits_per_second` is its rate in each direction, shared by all connections."""

    bits_per_second: int
    round_trip_seconds: float
    stalls: tuple[Stall, ...] = ()
    first_window_bytes: int = _FIRST_WINDOW_BYTES
    window_limit_bytes: int = _WINDOW_LIMIT_BYTES

    @property
    def delay_ns(self) -> int:
        """From one end to the other."""
        return self.round_trip_ns // 2

    @property
    def round_trip_ns(self) -> int:
        """There and back."""
        return round(self.round_trip_seconds * _SECOND_NS)

    @property
    def piece_bytes(self) -> int:
        """What one flow sends in its turn."""
        return max(SEGMENT_BYTES, self.bits_per_second // 8 * _PIECE_NS // _SECOND_NS)

    def transmission_ns(self, size_bytes: int) -> int:
        """How long the link is taken by `size_bytes`."""
        return size_bytes * 8 * _SECOND_NS // self.bits_per_second


GIGABIT: Final = Shape(10**9, 0.020)  # a registry in the same region
# The same where one end has small buffers: one connection gets 60 % of it, however long it lasts.
GIGABIT_NARROW: Final = replace(GIGABIT, window_limit_bytes=1536 * KIB)
HUNDRED_MEGABIT: Final = Shape(10**8, 0.080)  # one across an ocean, from an office


@final
class Flow:
    """One direction of one connection, as its sender sees it. Made by `Wire.open`, which alone changes it."""

    __slots__ = (
        "asleep",
        "backlog_bytes",
        "dropped",
        "ended",
        "in_flight_bytes",
        "ready_ns",
        "sent_bytes",
        "stalls",
        "window_bytes",
    )

    def __init__(self, window_bytes: int, stalls: Sequence[Stall]) -> None:
        self.backlog_bytes = 0  # offered, not sent
        self.in_flight_bytes = 0  # sent, not acknowledged
        self.sent_bytes = 0  # since the beginning
        self.window_bytes = window_bytes
        self.stalls = deque(sorted(stalls, key=lambda stall: stall.after_bytes))  # to come
        self.ready_ns = 0  # waits for its turn since then
        self.asleep = True
        self.ended = False  # its end was offered
        self.dropped = False

    @property
    def may_send(self) -> bool:
        """Whether it has anything to send and may: bytes within the window, or its end."""
        if self.asleep or self.dropped:
            return False
        return self.window_bytes > self.in_flight_bytes if self.backlog_bytes else self.ended


@final
@dataclass(frozen=True, slots=True)
class Arrival:
    """`size_bytes` of `flow` are at the far end since `at_ns`; None: its end is."""

    flow: Flow
    size_bytes: int | None
    at_ns: int


@final
@dataclass(frozen=True, slots=True)
class _Acknowledged:
    flow: Flow
    size_bytes: int


@final
@dataclass(frozen=True, slots=True)
class _Awake:
    flow: Flow


class Wire:
    """One direction of a link. Times never run backwards from call to call, but what a call says may lie in the past."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._free_ns = 0  # the last bit of the last piece leaves then
        self._turns: deque[Flow] = deque()  # flows that may send
        self._numbers = count()
        self._events: list[tuple[int, int, Arrival | _Acknowledged | _Awake]] = []

    def open(self, at_ns: int, stalls: Sequence[Stall] = ()) -> Flow:
        """A new flow, of which nothing leaves before `at_ns`."""
        flow = Flow(self._shape.first_window_bytes, stalls)
        self._at(at_ns, _Awake(flow))
        return flow

    def offer(self, flow: Flow, size_bytes: int, now_ns: int) -> None:
        """The sender has `size_bytes` more."""
        waited = flow.may_send
        flow.backlog_bytes += size_bytes
        self._line_up(flow, now_ns, waited=waited)

    def end(self, flow: Flow, now_ns: int) -> None:
        """The sender has nothing more: the end arrives behind what was offered."""
        waited = flow.may_send
        flow.ended = True
        self._line_up(flow, now_ns, waited=waited)

    def taken(self, flow: Flow, size_bytes: int, at_ns: int) -> None:
        """The receiver took `size_bytes` of what arrived: the acknowledgement starts back."""
        self._at(at_ns + self._shape.delay_ns, _Acknowledged(flow, size_bytes))

    def drop(self, flow: Flow) -> None:
        """The connection is gone: nothing of the flow leaves or arrives any more."""
        flow.dropped = True
        if flow in self._turns:
            self._turns.remove(flow)

    def next_ns(self) -> int | None:
        """When something happens next, if nothing is offered until then. None: nothing does."""
        event = self._events[0][0] if self._events else None
        turn = self._turn_ns()
        return event if turn is None else turn if event is None else min(turn, event)

    def advance(self, now_ns: int) -> list[Arrival]:
        """Lets everything happen that is due by `now_ns`; what arrived, in order."""
        arrived = []
        while (at_ns := self.next_ns()) is not None and at_ns <= now_ns:
            if at_ns == self._turn_ns():
                self._send(self._turns.popleft(), at_ns)
                continue
            _, _, event = heapq.heappop(self._events)
            flow = event.flow
            if isinstance(event, Arrival):
                if not flow.dropped:
                    arrived.append(event)
                continue
            waited = flow.may_send
            if isinstance(event, _Awake):
                flow.asleep = False
            else:
                flow.in_flight_bytes -= event.size_bytes
                flow.window_bytes = min(flow.window_bytes + event.size_bytes, self._shape.window_limit_bytes)
            self._line_up(flow, at_ns, waited=waited)
        return arrived

    def _turn_ns(self) -> int | None:
        return max(self._free_ns, self._turns[0].ready_ns) if self._turns else None

    def _send(self, flow: Flow, at_ns: int) -> None:
        """One piece of `flow`, or its end, leaves from `at_ns` on; or nothing, where it has to stall first."""
        if not flow.backlog_bytes:
            flow.ended = False
            self._at(at_ns + self._shape.delay_ns, Arrival(flow, None, at_ns + self._shape.delay_ns))
            return
        size_bytes = min(self._shape.piece_bytes, flow.backlog_bytes, flow.window_bytes - flow.in_flight_bytes)
        if flow.stalls:
            size_bytes = min(size_bytes, flow.stalls[0].after_bytes - flow.sent_bytes)
            if not size_bytes:
                flow.asleep = True
                self._at(at_ns + round(flow.stalls.popleft().seconds * _SECOND_NS), _Awake(flow))
                return
        self._free_ns = at_ns + self._shape.transmission_ns(size_bytes)
        flow.backlog_bytes -= size_bytes
        flow.in_flight_bytes += size_bytes
        flow.sent_bytes += size_bytes
        arrives_ns = self._free_ns + self._shape.delay_ns
        self._at(arrives_ns, Arrival(flow, size_bytes, arrives_ns))
        self._line_up(flow, self._free_ns, waited=False)

    def _line_up(self, flow: Flow, at_ns: int, *, waited: bool) -> None:
        if flow.may_send and not waited:
            flow.ready_ns = at_ns
            self._turns.append(flow)

    def _at(self, at_ns: int, event: Arrival | _Acknowledged | _Awake) -> None:
        heapq.heappush(self._events, (at_ns, next(self._numbers), event))
