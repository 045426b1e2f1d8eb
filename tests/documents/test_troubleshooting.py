"""docs/TROUBLESHOOTING.md: each text is said by the code, below its exit code, and no class of errors is left out."""

import errno
import os
import re
import signal
from typing import Final, NamedTuple

import pytest

from tests.support.documents import ROOT
from tests.support.said import PUT_IN, error_classes, is_said, texts, texts_of_errors

_ROW: Final = re.compile(r"^\| `([^`]+)`(?: \((\w+)\))? \|")
_TEXTS: Final = texts()
_OF_ERRORS: Final = texts_of_errors()
_CLASSES: Final = error_classes()
# An ordinary answer of a file system; its errno is what anybody sees of it.
_ERRNO_ONLY: Final = "FileSystemError"


class Row(NamedTuple):
    section: str
    text: str
    word: str  # in brackets behind it: an errno


def _rows() -> list[Row]:
    rows, section = [], ""
    for line in (ROOT / "docs" / "TROUBLESHOOTING.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif found := _ROW.match(line):
            rows.append(Row(section, found[1], found[2] or ""))
    return rows


ROWS: Final = _rows()
ERRNOS: Final = [row for row in ROWS if row.word]
SAID: Final = [row for row in ROWS if not row.word]


def exit_code_of(section: str) -> int | None:
    found = re.match(r"Exit (\d+)", section)
    return int(found[1]) if found else None


def makers_of(text: str) -> set[int]:
    """The exit codes of the errors that are made with `text`."""
    return {_CLASSES[name].exit_code for name, said in _OF_ERRORS.items() if is_said(text, said)}


@pytest.mark.parametrize("row", SAID, ids=lambda row: row.text)
def test_the_code_says_each_text(row: Row) -> None:
    assert is_said(row.text, _TEXTS)


@pytest.mark.parametrize("row", SAID, ids=lambda row: row.text)
def test_each_text_stands_below_its_exit_code(row: Row) -> None:
    makers, stands = makers_of(row.text), exit_code_of(row.section)
    assert not makers or stands is None or stands in makers


@pytest.mark.parametrize("row", ERRNOS, ids=lambda row: row.word)
def test_what_readers_see_is_what_the_system_calls_it(row: Row) -> None:
    if row.word.startswith("SIG"):
        assert row.text == signal.strsignal(signal.Signals[row.word])
    else:
        assert row.text == os.strerror(getattr(errno, row.word))


def test_each_exit_code_of_an_error_has_its_section() -> None:
    sections = {code for row in ROWS if (code := exit_code_of(row.section)) is not None}
    assert sections == {each.exit_code for each in _CLASSES.values()}


@pytest.mark.parametrize("name", sorted(_CLASSES.keys() - {_ERRNO_ONLY}))
def test_each_class_of_errors_has_a_text(name: str) -> None:
    assert [row.text for row in SAID if is_said(row.text, _OF_ERRORS[name])]


def test_a_text_that_nobody_says_is_noticed() -> None:
    assert is_said("cannot mount on …: not empty", {f"cannot mount on {PUT_IN}: not empty"})
    assert not is_said("cannot mount on …: not so empty", {f"cannot mount on {PUT_IN}: not empty"})
    assert not is_said("cannot mount …", {"cannot mount on a Tuesday"})
