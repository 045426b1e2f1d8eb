"""The table in docs/METRICS.md, from the one in the code: `python -m mkfs.service.metrics.page docs/METRICS.md` writes it anew."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkfs.service.metrics.metric import Metric
from mkfs.service.metrics.table import SECTIONS

_BEGIN: Final = "<!-- from here on written by mkfs.service.metrics.page -->\n"


def page_of(text: str) -> str:
    """`text`, a page with or without its table, with the table as it is now."""
    return text.partition(_BEGIN)[0] + _BEGIN + "\n".join(_lines())


def _lines() -> Iterator[str]:
    for title, metrics in SECTIONS.items():
        yield f"\n### {title}\n"
        yield "| metric | type | labels | stability | what it says |"
        yield "|---|---|---|---|---|"
        yield from map(_row, metrics)
    yield ""


def _row(metric: Metric) -> str:
    labels = "; ".join(f"`{label.name}`: {', '.join(label.values) or 'one a process'}" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.stability.value} | {metric.help} |"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(page_of(page.read_text()))
