"""Numbers of a run, and the table a person reads. Pure: values in, text out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, final

_PLAIN: Final = "{:.2f}"


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured, a value for each round. `peer` is what it is compared with, round by round.

    `limit` and `ratio_limit` are the goals: the highest median, of the values or of the ratios. None: nothing was promised.
    """

    what: str
    unit: str
    values: Sequence[float]
    peer: "Row | None" = None
    limit: float | None = None
    ratio_limit: float | None = None
    shape: str = _PLAIN  # how a value is written

    @property
    def ratios(self) -> list[float]:
        """Ours to the peer's of the same round; empty without a peer."""
        return [mine / theirs for mine, theirs in zip(self.values, self.peer.values, strict=True)] if self.peer else []

    @property
    def goals(self) -> list[tuple[float, bool]]:
        """The limits, and whether each is met."""
        found = []
        if self.limit is not None:
            found.append((self.limit, median(self.values) <= self.limit))
        if self.ratio_limit is not None:
            found.append((self.ratio_limit, median(self.ratios) <= self.ratio_limit))
        return found

    def as_json(self) -> dict[str, object]:
        """Everything but how it looks."""
        found: dict[str, object] = {
            "what": self.what,
            "unit": self.unit,
            "values": list(self.values),
            "median": median(self.values),
        }
        if self.peer is not None:
            found |= {"peer": self.peer.what, "ratios": self.ratios, "median_ratio": median(self.ratios)}
        if self.goals:
            found["goals"] = [{"limit": limit, "met": met} for limit, met in self.goals]
        return found


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What one program found. `remarks` are lines below the table: what was done, and what to mind."""

    question: str
    title: str
    rows: Sequence[Row]
    remarks: Sequence[str] = field(default=())

    def as_json(self) -> dict[str, object]:
        """Everything but how it looks."""
        return {"title": self.title, "rows": [row.as_json() for row in self.rows], "remarks": list(self.remarks)}

    def text(self) -> str:
        """The table."""
        lines = [[row.what, spread(row.values, row.shape), row.unit, _ratio(row), _goal(row)] for row in self.rows]
        table = _aligned([["", "median (min–max)", "", "ratio (min–max)", "goal"], *lines])
        return "\n".join([f"== {self.question}: {self.title}", *table, *(f"  · {remark}" for remark in self.remarks)])


def spread(values: Sequence[float], shape: str = _PLAIN) -> str:
    """`median (min–max)`; one value stands alone."""
    write: Callable[[float], str] = shape.format
    if len(values) == 1:
        return write(values[0])
    return f"{write(median(values))} ({write(min(values))}–{write(max(values))})"


def _ratio(row: Row) -> str:
    return f"{spread(row.ratios)} × {row.peer.what}" if row.peer else ""


def _goal(row: Row) -> str:
    return ", ".join(f"≤ {limit:g} {'met' if met else 'MISSED'}" for limit, met in row.goals)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
