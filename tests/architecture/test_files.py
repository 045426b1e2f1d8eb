"""What holds for every file: its length, what it may not say, and reasons where a rule is left."""

import io
import os
import re
import statistics
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.architecture.tree import ROOT, project_files, python_files, shown

LONGEST: Final = 600  # lines; above 400 ask whether two things live there
MEDIAN: Final = 250  # lines

# Each pattern is written so that it does not match itself.
UNFINISHED: Final = re.compile(r"\b(?:TO[D]O|FI[X]ME|X[X]X)\b")
# Paths of a developer's machine, and options and hosts that would tie an installation to somebody's package index.
OURS_ALONE: Final = re.compile(
    r"/wor[k]/|/tmp/prob[e]|/opt/wheel[s]|\.pyen[v]/|/home/(?!user\b|me\b)[a-z]|"
    r"--(?:extra-)?index-ur[l]|--find-link[s]|--trusted-hos[t]|"
    r"pypi\.or[g]|pythonhoste[d]|proxy\.golan[g]|registry\.npmj[s]|(?:deb|security)\.debian\.or[g]"
)
INDEX_VARIABLES: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "GOPROXY", "npm_config_registry")

NOQA: Final = re.compile(r"# noqa: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)* - \S")
TYPE_IGNORE: Final = re.compile(r"# type: ignore\[[a-z0-9, -]+\] +# \S")


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line of a text file with where it stands; none of a binary file."""
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        yield f"{shown(path)}:{number}", line


def comments(path: Path) -> Iterator[tuple[str, str]]:
    """Each comment of a Python file with where it stands."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield f"{shown(path)}:{token.start[0]}", token.string


def unreasoned(comment: str) -> bool:
    """Whether this comment switches a rule off without naming the rule and the reason."""
    noqa, ignore = re.search(r"#\s*noqa", comment, re.IGNORECASE), re.search(r"#\s*type:\s*ignore", comment)
    return bool((noqa and not NOQA.search(comment)) or (ignore and not TYPE_IGNORE.search(comment)))


def test_no_file_is_longer_than_a_person_reads() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in python_files()}
    assert not {name: length for name, length in lengths.items() if length > LONGEST}
    ours = [length for name, length in lengths.items() if name.startswith("src/")]
    assert statistics.median(ours) <= MEDIAN


def test_nothing_is_left_for_later() -> None:
    assert not [f"{where}: {line}" for path in project_files() for where, line in lines(path) if UNFINISHED.search(line)]


def test_no_file_names_this_machine_or_a_package_index() -> None:
    urls = [url for name in INDEX_VARIABLES for url in re.split(r"[,|\s]+", os.environ.get(name, ""))]
    hosts = {urlsplit(url).hostname or "" for url in urls} - {"", "localhost", "127.0.0.1"}
    here = [f"{ROOT}/", *sorted(hosts)]
    found = [
        f"{where}: {line[:160]}"
        for path in project_files()
        for where, line in lines(path)
        if OURS_ALONE.search(line) or any(word in line for word in here)
    ]
    assert not found


def test_a_rule_is_left_only_with_its_name_and_a_reason() -> None:
    assert not [f"{where}: {comment}" for path in python_files() for where, comment in comments(path) if unreasoned(comment)]


@pytest.mark.parametrize(
    ("comment", "bad"),
    [
        ("# noqa: BLE001 - handed to the waiters", False),
        ("# noqa: S603, S607 - a list, no shell", False),
        ("# type: ignore[attr-defined]  # the stub forgets it", False),
        ("# says why, not what", False),
        ("# noqa", True),
        ("# NOQA: BLE001", True),
        ("# noqa: BLE001 handed over", True),
        ("# type: ignore", True),
        ("# type:ignore[attr-defined]", True),
    ],
)
def test_what_counts_as_a_reason(comment: str, bad: bool) -> None:
    assert unreasoned(comment) is bad
