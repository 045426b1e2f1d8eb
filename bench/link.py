"""How much of a link we use, beside one plain connection and beside eight."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import curl, ours
from bench.payload import Payload, push_payload
from bench.peers import RANGES, Field, Peer
from bench.report import Answer, Row
from bench.routes import Route, far
from bench.scene import Scene
from mkfs.testing.link_model import GIGABIT, GIGABIT_NARROW, HUNDRED_MEGABIT, Shape
from mkfs.units import KIB, MIB, format_size

_USED_PERCENT: Final = 95
_SLOW_PART: Final = 8  # of the size, on the slow link
_LEAST_BYTES: Final = 8 * MIB  # as for the whole run: below that a mount proves everything itself
_SHAPES: Final = (GIGABIT_NARROW, GIGABIT, HUNDRED_MEGABIT)


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Everything read over each link, with nothing in the cache; peers and we take turns."""
    rows, remarks = list[Row](), list[str]()
    for shape in _SHAPES:
        slow = shape.bits_per_second < GIGABIT.bits_per_second
        payload = push_payload(scene, max(size_bytes // _SLOW_PART, _LEAST_BYTES) if slow else size_bytes)
        with far(scene, shape) as route:
            more, said = _over(scene, payload, shape, route, rounds)
            rows += more
            remarks += said
    scene.clear_cache()
    return Answer(
        "link",
        f"use of a link with slow start; {format_size(size_bytes)} at 1 Gbit/s, an eighth at 100 Mbit/s; nothing in the cache",
        rows,
        (
            "use: the payload's bits by the link's rate and the time; heads of requests and answers are not counted as use",
            "ours: from the first open to the last byte; mount + read: from the command's start",
            "one connection: curl, file after file on a kept connection; nothing hashed and nothing read afterwards",
            *remarks,
        ),
    )


def _over(scene: Scene, payload: Payload, shape: Shape, route: Route, rounds: int) -> tuple[list[Row], list[str]]:
    field = Field(scene, payload, route, [_ONE, RANGES])
    turns = list[ours.Turn]()
    for _ in range(rounds):
        field.turn()
        turns.append(ours.turn(scene, payload, route))
    unit = f"% of {route.name}, window {shape.window_limit_bytes // KIB} KiB"

    def used(what: str, seconds: list[float], *, least: float | None = None, theirs: bool = False) -> Row:
        values = [payload.size_bytes * 8 / shape.bits_per_second / each * 100 for each in seconds]
        return Row(what, unit, values, least=least, theirs=theirs, shape="{:.1f}")

    rows = [
        used("ours", [turn.read_seconds for turn in turns], least=_USED_PERCENT),
        used("ours, mount + read", [turn.seconds for turn in turns]),
        *(used(name, [turn.bring_seconds for turn in theirs], theirs=True) for name, theirs in field.turns.items()),
    ]
    return rows, field.remarks


@contextmanager
def _one_connection(_scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    curl.one_connection(payload.urls(route.host), place)
    yield place


_ONE: Final = Peer("one connection", _one_connection)
