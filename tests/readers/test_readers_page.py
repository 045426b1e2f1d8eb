"""docs/READERS.md: whom it lists, that none of them failed, and that its flags are those that `kitfs doctor` gives."""

import re
from pathlib import Path

import pytest

from mkfs.service.doctor.loaders import advise
from tests.plugins.readers import rows_on
from tests.readers.catalogue import READERS, REPLAYS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "READERS.md").read_text("utf-8")
LONGEST = 200  # lines
# Options of programs, variables, and arguments of calls that end in "=".
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?!\.md)|\b[a-z]+_[a-z_]+\b(?==)")
OURS = {"--read-timeout", "--prefetch", "--fill"}
SYSTEM = {"MAP_POPULATE", "MADV_RANDOM"}  # of calls, not of programs


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_can_be_read_at_one_sitting() -> None:
    assert len(PAGE.splitlines()) <= LONGEST


def test_every_command_of_the_doctor_is_on_the_page_as_it_stands() -> None:
    commands = [f"| {advice.loader} | `{advice.command}` |" for advice in advise(None)]
    assert [command for command in commands if command not in section("Flags to use")] == []


@pytest.mark.parametrize("title", ["Flags to use", "What to avoid"])
def test_every_flag_on_the_page_is_one_of_the_doctor_s(title: str) -> None:
    said = " ".join(f"{advice.command} {advice.reason}" for advice in advise(None))
    known = set(FLAG.findall(said)) | OURS | SYSTEM
    flags = set(FLAG.findall(section(title)))
    assert flags
    assert flags - known == set()


def test_every_reader_has_a_row_and_none_failed() -> None:
    rows = rows_on(PAGE, "readers")
    assert [(row[0].split(" ")[0], *row[1:3]) for row in rows] == [
        (reader.library, reader.model, reader.way) for reader in READERS.values()
    ], "run scripts/readers"
    assert "**failed**" not in PAGE


def test_every_replay_has_a_row() -> None:
    expected = [(replay.engine, ", ".join(replay.ways)) for replay in REPLAYS.values()]
    assert [row[:2] for row in rows_on(PAGE, "replays")] == expected, "run scripts/readers"
