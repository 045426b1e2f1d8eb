"""The tables of readers: what tests of `tests/readers` record as `readers` or `replays` is a row of docs/READERS.md.

    pytest tests/readers --readers=docs/READERS.md

writes the rows between the page's marks, in the order of the tests. A test that failed after it had recorded its row, in its
teardown too, is shown as failed; one that failed before has none, which a test of the page notices.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

# The columns that the tests record, by the name of the table.
COLUMNS: Final = {
    "readers": ("reader", "model", "how it reads", "cold: fetched", "warm", "new mount", "MiB"),
    "replays": ("whose way", "ways", "cold: fetched", "warm", "new mount", "MiB"),
}
_NUMBERS: Final = "MiB"  # to the right
_ROWS: Final = pytest.StashKey[dict[str, dict[str, tuple[str, ...]]]]()  # by table, then by test
_FAILED: Final = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds our option."""
    parser.addoption("--readers", type=Path, metavar="FILE", help="write the tables of readers into this page")


def pytest_configure(config: pytest.Config) -> None:
    """Prepares empty tables."""
    rows: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in COLUMNS}
    config.stash[_ROWS], config.stash[_FAILED] = rows, set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Takes the row of a test, and notes whether one of its phases failed."""
    report = yield
    if report.failed:
        item.config.stash[_FAILED].add(item.nodeid)
    if call.when == "call":
        for name, row in item.user_properties:
            if name in COLUMNS and isinstance(row, list):
                item.config.stash[_ROWS][name][item.nodeid] = tuple(str(cell) for cell in row)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the page, where that was asked for."""
    page: Path | None = session.config.getoption("--readers")
    if page is None:
        return
    text = page.read_text("utf-8")
    failed = session.config.stash[_FAILED]
    for name, tests in session.config.stash[_ROWS].items():
        if tests:
            rows = [(f"{row[0]} **failed**", *row[1:]) if test in failed else row for test, row in tests.items()]
            text = written(text, name, rows)
    page.write_text(text, "utf-8")


def written(page: str, name: str, rows: list[tuple[str, ...]]) -> str:
    """The page with `rows` as its table `name`."""
    begin, end = marks(name)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"the page has no place for {name}"
    assert closed, f"the place for {name} has no end"
    columns = COLUMNS[name]
    lines = [columns, tuple("---:" if column == _NUMBERS else "---" for column in columns), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def rows_on(page: str, name: str) -> list[tuple[str, ...]]:
    """The rows of the table `name` on a page, without its head."""
    begin, end = marks(name)
    lines = [line for line in page.partition(begin)[2].partition(end)[0].splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def marks(name: str) -> tuple[str, str]:
    """Between which the table `name` stands."""
    return f"<!-- {name}: written by scripts/readers -->", f"<!-- end of {name} -->"
