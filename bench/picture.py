"""A picture of an answer: a bar for each row, as long as its median, with a whisker from its least to its most. Pure: SVG text out.

Rows of the same unit share a panel and its scale. What the detail rows ("  of which …") say is in the file beside it.
"""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

from bench.report import Answer, Row, spread

_WIDTH: Final = 1040  # all lengths are pixels
_NAMES: Final = 460  # for the names, left of the bars
_BARS: Final = 360  # the longest bar
_LINE: Final = 22
_BAR: Final = 14
_GAP: Final = 34  # before a panel, with its unit
_HEAD: Final = 56
_FOOT: Final = 14
_OURS, _THEIRS, _INK, _PAPER = "#2f6fb3", "#b9b4a8", "#222222", "#ffffff"
_STYLE: Final = f"text{{font:13px sans-serif;fill:{_INK}}}.small{{font-size:11px}}.title{{font-weight:bold}}"


def picture(answer: Answer, machine: Sequence[str]) -> str:
    """An SVG document. `machine` are lines that stand below the title: where and when."""
    panels = _panels(answer.rows)
    height = _HEAD + _LINE * len(machine) + sum(_GAP + _LINE * len(rows) for _, rows in panels) + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="{_PAPER}"/>',
        _text(16, 24, f"{answer.question}: {answer.title}", "title"),
        *(_text(16, 44 + _LINE * number, line, "small") for number, line in enumerate(machine)),
        *_legend(44 + _LINE * len(machine)),
    ]
    top = _HEAD + _LINE * len(machine)
    for unit, rows in panels:
        parts += _panel(top, unit, rows)
        top += _GAP + _LINE * len(rows)
    return "\n".join([*parts, "</svg>", ""])


def _panels(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows by their units, in the order in which they come; a row that stands twice, beside two others, once."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.values and not row.what.startswith(" "):
            found.setdefault(row.unit, {}).setdefault(row.what, row)
    return [(unit, list(named.values())) for unit, named in found.items()]


def _panel(top: int, unit: str, rows: Sequence[Row]) -> Iterator[str]:
    most = max(max(row.values) for row in rows) or 1.0
    yield _text(_NAMES, top + _GAP - 12, unit or "count or ratio", "small")
    for number, row in enumerate(rows):
        line = top + _GAP + _LINE * number
        middle = line + _BAR // 2
        low, mid, high = (_NAMES + value / most * _BARS for value in (min(row.values), median(row.values), max(row.values)))
        yield f'<text x="{_NAMES - 8}" y="{middle + 5}" text-anchor="end">{escape(row.what)}</text>'
        fill = _THEIRS if row.theirs else _OURS
        yield f'<rect x="{_NAMES}" y="{line}" width="{mid - _NAMES:.1f}" height="{_BAR}" fill="{fill}"/>'
        if high > low:
            whisker = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {line + 3}v{_BAR - 6}M{high:.1f} {line + 3}v{_BAR - 6}"
            yield f'<path d="{whisker}" stroke="{_INK}" fill="none"/>'
        yield _text(round(max(mid, high)) + 8, middle + 5, spread(row.values, row.shape), "small")


def _legend(top: int) -> Iterator[str]:
    for left, fill, words in ((16, _OURS, "ours"), (90, _THEIRS, "others"), (180, None, "bar: median, whisker: least to most")):
        if fill:
            yield f'<rect x="{left}" y="{top - 10}" width="12" height="12" fill="{fill}"/>'
        yield _text(left + 18, top, words, "small")


def _text(left: int, top: int, words: str, kind: str) -> str:
    return f'<text x="{left}" y="{top}" class="{kind}">{escape(words)}</text>'
