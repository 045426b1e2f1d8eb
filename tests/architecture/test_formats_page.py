"""The page on formats: each claim of it names tests, and these tests exist."""

import ast
import re
from typing import Final

from mkfs import formats
from tests.architecture.tree import ROOT

PAGE: Final = (ROOT / "docs" / "FORMATS.md").read_text()
CLAIMS, TESTS = PAGE.split("## The tests")
CODE: Final = re.compile(r"\b[A-Z][0-9]+\b")
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
LISTED: Final = re.compile(r"^\| ([A-Z][0-9]+) \| (tests/\S+\.py) \| (test_\w+) \|$", re.MULTILINE)


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the tables of a section, without their heads."""
    text = CLAIMS.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_test_that_is_named_exists() -> None:
    missing = []
    for code, file, name in LISTED.findall(TESTS):
        names = {each.name for each in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(each, FUNCTIONS)}
        if name not in names:
            missing.append(f"{code}: {file}::{name}")
    assert missing == []
    assert len(LISTED.findall(TESTS)) == TESTS.count("\n| ") - 1  # all rows but the head


def test_what_is_claimed_is_listed_and_what_is_listed_is_claimed() -> None:
    listed = [code for code, _, _ in LISTED.findall(TESTS)]
    assert len(set(listed)) == len(listed)
    assert set(CODE.findall(CLAIMS)) == set(listed)


def test_every_cell_has_a_proof() -> None:
    shown = rows("What is shown")
    assert len(shown) > len(formats.FORMATS)
    assert [(row[0], cell) for row in shown for cell in row[2:] if cell != "-" and not CODE.search(cell)] == []
    others = [*rows("What may be chosen"), *rows("What `inspect` says"), *rows("What is bad")]
    assert [row[0] for row in others if not CODE.search(row[-1])] == []


def test_every_format_is_on_the_page() -> None:
    modules = set(formats.FORMATS)
    assert modules <= {row[1].strip("`") for row in rows("What is shown")}
