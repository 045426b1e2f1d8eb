"""The table of faults: `@pytest.mark.fault("T")` says that a test is a case of group T of docs/RELIABILITY.md.

    pytest -m fault --reliability=docs/RELIABILITY.md

writes the results between the page's marks: a row for each group, and each case with what became of it. A case that cannot happen
here stands in `tests.faults.groups` with its reason and is counted apart. A test with parameters is one case for each of them.

`@pytest.mark.long`, at a test or one of its parameters: takes too long for each run. It is deselected without `--all-faults`, which
scripts/faults gives, and the page says so beside it. Of a test with very many cases that differ in their data alone, each run has a
share: `@pytest.mark.share(4)` leaves every fourth of them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.groups import GROUPS

_BEGIN: Final = "<!-- results: written by scripts/faults -->"
_LONGEST: Final = 100  # characters of a failure; the run has the rest
_END: Final = "<!-- end of results -->"
_ONLY_THERE: Final = "(only in scripts/faults)"
_RESULTS: Final = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds our options."""
    parser.addoption("--all-faults", action="store_true", help="also run the cases that take long")
    parser.addoption("--reliability", type=Path, metavar="FILE", help="write the table of faults into this page")
    parser.addoption("--list-faults", type=Path, metavar="FILE", help="write the cases that were collected, as JSON by group")


def pytest_configure(config: pytest.Config) -> None:
    """Prepares an empty table."""
    results: dict[str, dict[str, str]] = defaultdict(dict)
    config.stash[_RESULTS] = results


def case_of(item: pytest.Item) -> tuple[str, str] | None:
    """The group and the name of the case that `item` is, if it is one."""
    mark = item.get_closest_marker("fault")
    if mark is None:
        return None
    (group,) = mark.args
    assert group in GROUPS, f"{item.nodeid}: no group {group!r}"
    function, bracket, parameters = item.name.partition("[")
    name = function.removeprefix("test_").replace("_", " ")
    if bracket:
        name = f"{name}: {parameters.removesuffix(']')}"
    return group, f"{name} {_ONLY_THERE}" if item.get_closest_marker("long") else name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what takes long, unless all is asked for."""
    if config.getoption("--all-faults"):
        return
    late, turns = set(), Counter[str]()
    for item in items:
        share = item.get_closest_marker("share")
        test = item.nodeid.partition("[")[0]
        if item.get_closest_marker("long") or (share and turns[test] % share.args[0]):
            late.add(item)
        turns[test] += 1
    if late:
        config.hook.pytest_deselected(items=[item for item in items if item in late])
        items[:] = [item for item in items if item not in late]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Writes the list, where that was asked for."""
    target: Path | None = session.config.getoption("--list-faults")
    if target is not None:
        cases: dict[str, list[str]] = {letter: [] for letter in GROUPS}
        for group, name in filter(None, map(case_of, session.items)):
            cases[group].append(plain(name))
        target.write_text(json.dumps(cases), "utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes what became of a case: the worst of its phases."""
    report = yield
    case = case_of(item)
    if case is not None:
        group, name = case
        results = item.config.stash[_RESULTS][group]
        if report.failed:
            said = call.excinfo.exconly().splitlines()[0] if call.excinfo else ""
            results[name] = f"failed: {said[:_LONGEST] or report.when}"
        elif report.when == "call":
            results.setdefault(name, "passed")
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the page, where that was asked for."""
    page: Path | None = session.config.getoption("--reliability")
    if page is not None and session.config.stash[_RESULTS]:
        page.write_text(written(page.read_text("utf-8"), session.config.stash[_RESULTS]), "utf-8")


def written(page: str, results: dict[str, dict[str, str]]) -> str:
    """The page with `results` between its marks; of a group that has none, what the page said before stays."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    assert rest, "the page has no mark"
    fresh = {group: {plain(name): plain(result) for name, result in cases.items()} for group, cases in results.items() if cases}
    return f"{before}{_BEGIN}\n\n{tables(known(page) | fresh)}\n{_END}{after}"


def tables(results: dict[str, dict[str, str]]) -> str:
    """The summary, then all cases by group. Names and results are plain."""
    lines = ["| group | what | cases | passed | failed | cannot happen here |", "|---|---|---:|---:|---:|---:|"]
    sums = [0, 0, 0, 0]
    for letter, group in GROUPS.items():
        cases = results.get(letter, {})
        passed = sum(result == "passed" for result in cases.values())
        numbers = [len(cases), passed, len(cases) - passed, len(group.absent)]
        sums = [total + number for total, number in zip(sums, numbers, strict=True)]
        lines.append(f"| {letter} | {group.what} | {' | '.join(map(str, numbers))} |")
    lines.append(f"| | **all** | {' | '.join(f'**{number}**' for number in sums)} |")
    lines += ["", f"Cases marked *{_ONLY_THERE}* take too long for each run of the tests; of T, Z, J and I each run has a share."]
    for letter, group in GROUPS.items():
        lines += ["", f"### {letter}: {group.what}", ""]
        lines += [] if results.get(letter) else ["Not run since its cases changed."]
        for name, result in results.get(letter, {}).items():
            lines.append(f"- {name}" + ("" if result == "passed" else f" — **{result}**"))
        lines += [f"- *cannot happen here*: {name}: {reason}" for name, reason in group.absent.items()]
    return "\n".join(lines) + "\n"


def cases_on(page: str) -> dict[str, list[str]]:
    """The cases that a page lists, by group."""
    return {group: list(cases) for group, cases in known(page).items()}


def known(page: str) -> dict[str, dict[str, str]]:
    """What a page says of each case, by group."""
    listed: dict[str, dict[str, str]] = {}
    group = ""
    for line in page.partition(_BEGIN)[2].partition(_END)[0].splitlines():
        if heading := re.match(r"### ([A-Z]): ", line):
            group = heading[1]
            listed[group] = {}
        elif line.startswith("- ") and not line.startswith("- *cannot"):
            name, _, result = line[2:].partition(" — **")
            listed[group][name] = result.removesuffix("**") or "passed"
    return listed


def plain(text: str) -> str:
    """`text` in one line in which Markdown finds no meaning."""
    return re.sub(r"([\\`*_<>|])", r"\\\1", " ".join(text.split()))
