"""The arithmetic of a link: no clock, no socket. At 8 Mbit/s a byte takes a microsecond."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.testing.link_model import GIGABIT, GIGABIT_NARROW, HUNDRED_MEGABIT, Arrival, Flow, Shape, Stall, Wire
from mkfs.units import KIB, MIB

BYTE_NS = 1_000
MS = 1_000_000
SLOW = Shape(8 * 10**6, 0.020)
WIDE = replace(SLOW, first_window_bytes=MIB)  # nothing waits for an acknowledgement


def take_all(wire: Wire, until_ns: int | None = None, tick_ns: int = 1) -> list[Arrival]:
    """Everything that arrives (by `until_ns`), taken at once by receivers that look every `tick_ns`."""
    found: list[Arrival] = []
    while (at_ns := wire.next_ns()) is not None and (until_ns is None or at_ns <= until_ns):
        for arrival in wire.advance(-(-at_ns // tick_ns) * tick_ns):
            found.append(arrival)
            if arrival.size_bytes is not None:
                wire.taken(arrival.flow, arrival.size_bytes, arrival.at_ns)
    return found


def sized(arrivals: list[Arrival], flow: Flow) -> int:
    return sum(arrival.size_bytes or 0 for arrival in arrivals if arrival.flow is flow)


def sending(wire: Wire, size_bytes: int, stalls: tuple[Stall, ...] = ()) -> Flow:
    flow = wire.open(0, stalls)
    wire.offer(flow, size_bytes, 0)
    return flow


def test_a_message_takes_its_length_and_the_delay() -> None:
    wire = Wire(SLOW)
    flow = sending(wire, 400)
    assert take_all(wire) == [Arrival(flow, 400, 400 * BYTE_NS + 10 * MS)]


def test_nothing_leaves_before_the_handshake_is_over() -> None:
    wire = Wire(SLOW)
    flow = wire.open(20 * MS)
    wire.offer(flow, 400, 1 * MS)
    assert take_all(wire) == [Arrival(flow, 400, 30 * MS + 400 * BYTE_NS)]


def test_the_end_arrives_behind_the_last_byte() -> None:
    wire = Wire(WIDE)
    flow = sending(wire, 10_000)
    wire.end(flow, 0)
    *pieces, end = take_all(wire)
    assert sized(pieces, flow) == 10_000
    assert end == Arrival(flow, None, pieces[-1].at_ns) == Arrival(flow, None, 10_000 * BYTE_NS + 10 * MS)


def test_what_comes_later_waits_for_the_line_in_its_order() -> None:
    wire = Wire(WIDE)
    flow, other = sending(wire, 1000), wire.open(0)
    assert wire.advance(0) == []
    wire.offer(other, 300, 100 * BYTE_NS)
    wire.offer(flow, 500, 200 * BYTE_NS)
    left = [(arrival.flow is flow, arrival.at_ns - 10 * MS) for arrival in take_all(wire)]
    assert left == [(True, 1000 * BYTE_NS), (False, 1300 * BYTE_NS), (True, 1800 * BYTE_NS)]


def test_the_window_doubles_every_round_trip_up_to_its_limit() -> None:
    fast = Shape(10**12, 0.020, window_limit_bytes=200_000)  # sending takes no time to speak of
    wire = Wire(fast)
    sending(wire, 2_000_000)
    rounds = Counter[int]()
    for arrival in take_all(wire):
        rounds[arrival.at_ns // (20 * MS)] += arrival.size_bytes or 0
    assert [rounds[number] for number in range(6)] == [14_600, 29_200, 58_400, 116_800, 200_000, 200_000]


def test_a_receiver_that_takes_nothing_gets_one_window_and_the_rest_when_it_does() -> None:
    wire = Wire(SLOW)
    flow = sending(wire, 50_000)
    assert sum(arrival.size_bytes or 0 for arrival in wire.advance(3600 * 1000 * MS)) == 14_600
    assert wire.next_ns() is None
    wire.taken(flow, 4_600, 3600 * 1000 * MS)
    assert wire.advance(3600 * 1000 * MS + 9 * MS) == []
    assert sized(wire.advance(3700 * 1000 * MS), flow) == 2 * 4_600  # what was taken, and the window grew by as much
    wire.taken(flow, 10_000 + 9_200, 3700 * 1000 * MS)
    assert sized(take_all(wire), flow) == 50_000 - 14_600 - 9_200


def test_flows_share_the_line_to_a_piece() -> None:
    wire = Wire(WIDE)
    flows = [sending(wire, size_bytes) for size_bytes in (100_000, 100_000, 30_000)]
    arrived = take_all(wire, until_ns=90_000 * BYTE_NS + 10 * MS)
    shares = [sized(arrived, flow) for flow in flows]
    assert sum(shares) == 90_000 - 90_000 % WIDE.piece_bytes
    assert max(shares) - min(shares) <= WIDE.piece_bytes
    assert sized(take_all(wire), flows[0]) == 100_000 - shares[0]


def test_a_stall_holds_its_connection_alone() -> None:
    wire = Wire(WIDE)
    stalled = sending(wire, 5_000, (Stall(2_000, 1.0), Stall(3_000, 0.5)))
    free = sending(wire, 5_000)
    early = take_all(wire, until_ns=900 * MS)
    assert (sized(early, stalled), sized(early, free)) == (2_000, 5_000)
    assert sized(take_all(wire, until_ns=1400 * MS), stalled) == 1_000
    assert sized(take_all(wire), stalled) == 2_000


def test_a_stall_before_the_first_byte_holds_it_too() -> None:
    wire = Wire(SLOW)
    flow = sending(wire, 400, (Stall(0, 1.0),))
    assert take_all(wire) == [Arrival(flow, 400, 1010 * MS + 400 * BYTE_NS)]


def test_a_connection_that_is_gone_takes_nothing_of_the_line() -> None:
    wire = Wire(WIDE)
    gone = sending(wire, 100_000)
    assert wire.advance(0) == []  # its first piece is on the line
    wire.drop(gone)
    other = sending(wire, 1_000)
    assert take_all(wire) == [Arrival(other, 1_000, (1460 + 1_000) * BYTE_NS + 10 * MS)]


def test_an_onlooker_who_comes_late_sees_the_same_times() -> None:
    seen = []
    for tick_ns in (1, 5 * MS):
        wire = Wire(GIGABIT)
        flow = sending(wire, 8 * MIB)
        seen.append([(arrival.size_bytes, arrival.at_ns) for arrival in take_all(wire, tick_ns=tick_ns)])
        assert flow.sent_bytes == 8 * MIB
    assert seen[0] == seen[1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100_000), st.integers(0, 50 * MS)), max_size=12),
    st.integers(1, 10 * MS),
)
def test_no_byte_is_lost_made_or_faster_than_the_link(offers: list[tuple[int, int, int]], tick_ns: int) -> None:
    wire = Wire(SLOW)
    flows = [wire.open(0) for _ in range(4)]
    offered = Counter[Flow]()
    arrived: list[Arrival] = []
    for number, size_bytes, at_ns in sorted(offers, key=lambda offer: offer[2]):
        arrived += take_all(wire, at_ns, tick_ns)
        wire.offer(flows[number], size_bytes, at_ns)
        offered[flows[number]] += size_bytes
    arrived += take_all(wire, None, tick_ns)
    total = 0
    for arrival in sorted(arrived, key=lambda arrival: arrival.at_ns):
        total += arrival.size_bytes or 0
        assert total * BYTE_NS <= arrival.at_ns - 10 * MS
    assert {flow: sized(arrived, flow) for flow in flows} == {flow: offered[flow] for flow in flows}
    assert all(flow.in_flight_bytes == flow.backlog_bytes == 0 for flow in flows)


def share(shape: Shape, connections: int, size_bytes: int) -> float:
    """What part of the link's rate `connections` get that fetch `size_bytes` together, from the handshake to the last byte."""
    wire = Wire(shape)
    asked_ns = shape.round_trip_ns + shape.delay_ns
    flows = [wire.open(asked_ns) for _ in range(connections)]
    for flow in flows:
        wire.offer(flow, size_bytes // connections, asked_ns)
    return shape.transmission_ns(size_bytes) / max(arrival.at_ns for arrival in take_all(wire))


@pytest.mark.parametrize(
    ("shape", "one", "eight"),
    [(GIGABIT, 0.92, 0.95), (GIGABIT_NARROW, 0.58, 0.95), (HUNDRED_MEGABIT, 0.97, 0.98)],
    ids=["1 Gbit/s", "1 Gbit/s narrow", "100 Mbit/s"],
)
def test_what_the_presets_give_to_one_and_to_eight_connections(shape: Shape, one: float, eight: float) -> None:
    assert share(shape, 1, 256 * MIB) == pytest.approx(one, abs=0.01)
    assert share(shape, 8, 256 * MIB) == pytest.approx(eight, abs=0.01)


def test_a_short_answer_on_a_new_connection_is_all_slow_start() -> None:
    assert share(GIGABIT, 1, 64 * KIB) < 0.01
    assert share(GIGABIT, 1, MIB) == pytest.approx(0.05, abs=0.01)
