"""How far long work has come, for a person who waits. Plain values: they travel from a daemon over its pipe."""

from collections.abc import Callable
from typing import final

from msgspec import Struct


@final
class Progress(Struct, frozen=True):
    """A moment of the work. Bytes count once they are received or hashed; a layer once it is done."""

    done_bytes: int
    size_bytes: int
    done_layers: int
    layers: int


@final
class Showing(Struct, frozen=True):
    """`show` is called every `period_seconds`, and at the end."""

    show: Callable[[Progress], None]
    period_seconds: float
