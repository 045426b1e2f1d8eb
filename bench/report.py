"""Numbers of a run, and the table a person reads. Pure: values in, text out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Final, final

_PLAIN: Final = "{:.2f}"


@final
@dataclass(frozen=True, slots=True)
class Goal:
    """A bound in words, with its sign; `×` behind it: of a ratio."""

    words: str
    met: bool


@final
@dataclass(frozen=True, slots=True)
class Table:
    """Numbers that stand beside the rows, one line for each of many things: the first cell of a line names it."""

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]

    def as_json(self) -> list[dict[str, str]]:
        """Each line as an object."""
        return [dict(zip(self.columns, line, strict=True)) for line in self.lines]


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured, a value for each round. `peer` is what it is compared with, round by round.

    The goals: `limit` and `ratio_limit` are the highest median, of values or ratios, `least` and `least_ratio` the lowest. None:
    nothing was promised. `theirs` marks what somebody else did; the pictures show it.
    """

    what: str
    unit: str
    values: Sequence[float]
    peer: "Row | None" = None
    limit: float | None = None
    ratio_limit: float | None = None
    least: float | None = None
    least_ratio: float | None = None
    theirs: bool = False
    shape: str = _PLAIN  # how a value is written

    @property
    def ratios(self) -> list[float]:
        """Ours to the peer's of the same round; empty without a peer."""
        return [mine / theirs for mine, theirs in zip(self.values, self.peer.values, strict=True)] if self.peer else []

    @property
    def goals(self) -> list["Goal"]:
        """What was promised, and whether it is kept."""
        found = []
        if self.limit is not None:
            found.append(Goal(f"≤ {self.limit:g}", met=median(self.values) <= self.limit))
        if self.least is not None:
            found.append(Goal(f"≥ {self.least:g}", met=median(self.values) >= self.least))
        if self.ratio_limit is not None:
            found.append(Goal(f"≤ {self.ratio_limit:g} ×", met=median(self.ratios) <= self.ratio_limit))
        if self.least_ratio is not None:
            found.append(Goal(f"≥ {self.least_ratio:g} ×", met=median(self.ratios) >= self.least_ratio))
        return found

    def as_json(self) -> dict[str, object]:
        """Everything but how it looks."""
        found: dict[str, object] = {
            "what": self.what,
            "unit": self.unit,
            "theirs": self.theirs,
            "values": list(self.values),
            "median": median(self.values),
            "p90": sorted(self.values)[ceil(len(self.values) * 0.9) - 1],
        }
        if self.peer is not None:
            found |= {"peer": self.peer.what, "ratios": self.ratios, "median_ratio": median(self.ratios)}
        if self.goals:
            found["goals"] = [{"goal": goal.words, "met": goal.met} for goal in self.goals]
        return found


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What one program found. `remarks` are lines below the table: what was done, and what to mind; `table` comes between them."""

    question: str
    title: str
    rows: Sequence[Row]
    remarks: Sequence[str] = field(default=())
    table: Table | None = None

    def as_json(self) -> dict[str, object]:
        """Everything but how it looks."""
        found: dict[str, object] = {
            "title": self.title,
            "rows": [row.as_json() for row in self.rows],
            "remarks": list(self.remarks),
        }
        if self.table is not None:
            found["table"] = self.table.as_json()
        return found

    def text(self) -> str:
        """The table."""
        lines = [[row.what, spread(row.values, row.shape), row.unit, _ratio(row), _goal(row)] for row in self.rows]
        table = _aligned([["", "median (min–max)", "", "ratio (min–max)", "goal"], *lines])
        if self.table is not None:
            table += ["", *_aligned([self.table.columns, *self.table.lines])]
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
    return ", ".join(f"{goal.words} {'met' if goal.met else 'MISSED'}" for goal in row.goals)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
