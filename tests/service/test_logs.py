"""What a log line looks like, whatever is in it."""

import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import UsageError
from mkfs.service import logs
from mkfs.service.log_lines import LONGEST, Clean, one_line
from mkfs.service.repetition import FIRST, PERIOD_SECONDS, REMEMBERED, Repetition

FORMS = ("console", "journald", "json")
HOSTILE = "a\nb\r\x1b[31m\x00\x7f\x9b2J\u2028\u202ec\ud800 %s %d"

Logged = Callable[..., str]


def lines_of(form: str, *records: logging.LogRecord) -> str:
    """What a handler as ours writes of records."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter(form))
    handler.addFilter(Clean())
    for record in records:
        handler.handle(record)
    return written.getvalue()


def record(message: object, *arguments: object, level: int = logging.INFO, error: BaseException | None = None, **extra: object):
    made = logging.LogRecord("mkfs.some.module", level, "x.py", 1, message, arguments, None)
    if error is not None:
        try:
            raise error
        except BaseException:  # noqa: BLE001 - with its traceback
            made.exc_info = sys.exc_info()
    made.__dict__.update(extra)
    return made


def is_clean(line: str) -> bool:
    """Whether it is one line that a terminal shows and does not obey."""
    return line.endswith("\n") and not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]", line[:-1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("error", [None, OSError(5, HOSTILE), ExceptionGroup(HOSTILE, [ValueError(HOSTILE)])], ids=str)
def test_one_record_is_one_line_whatever_is_in_it(form: str, error: BaseException | None) -> None:
    line = lines_of(form, record(HOSTILE.replace("%", "%%") + "%s", HOSTILE, error=error, field=HOSTILE, other=[HOSTILE]))
    assert is_clean(line), line


@given(text=st.text(), form=st.sampled_from(FORMS))
def test_no_text_breaks_a_line(text: str, form: str) -> None:
    assert is_clean(lines_of(form, record("%s", text, error=ValueError(text))))


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\\")))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_a_line_for_a_person() -> None:
    line = lines_of("console", record("mounted %s", "llama", level=logging.WARNING))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING mkfs.some.module: mounted llama\n", line)


@pytest.mark.parametrize(
    ("level", "priority"), [("DEBUG", 7), ("INFO", 6), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 2), (25, 6), (1, 7)]
)
def test_a_line_for_the_journal_begins_with_its_priority(level: str | int, priority: int) -> None:
    number = level if isinstance(level, int) else getattr(logging, level)
    assert lines_of("journald", record("text", level=number)) == f"<{priority}>mkfs.some.module: text\n"


def test_a_line_of_json_has_stable_keys_in_order() -> None:
    line = lines_of("json", record("mounted %s", "llama", error=ValueError("why"), pid=17, layers={"a": 1}, level="shown"))
    told = json.loads(line)
    assert list(told) == ["time", "level", "logger", "event", "exception", "pid", "layers"]
    assert datetime.fromisoformat(told["time"]).utcoffset() is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told["time"])
    assert (told["logger"], told["event"], told["pid"]) == ("mkfs.some.module", "mounted llama", 17)
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("\nValueError: why")


def test_json_says_again_what_was_said() -> None:
    assert json.loads(lines_of("json", record("%s", HOSTILE)))["event"] == HOSTILE
    assert list(json.loads(lines_of("json", record("plain")))) == ["time", "level", "logger", "event"]


@pytest.mark.parametrize("form", FORMS)
def test_a_traceback_is_in_the_line(form: str) -> None:
    line = lines_of(form, record("text", error=ZeroDivisionError("why")))
    assert line.count("\n") == 1
    assert r"\nZeroDivisionError: why" in line
    assert "in record" in line


@pytest.mark.parametrize("form", FORMS)
def test_secrets_go_from_text_traceback_and_fields(form: str) -> None:
    secret = "Bearer aGVsbG8tMTIz"
    told = lines_of(
        form,
        record("said %s", secret, error=ValueError(f"got {secret}"), header=f"Authorization: {secret}", seen=[secret]),
        record({"Authorization": secret}),
    )
    assert "aGVsbG8tMTIz" not in told
    assert told.count("***") == (5 if form == "json" else 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("message", "arguments"), [("%d", ("x",)), ("%s %s", ("x",)), ("100%", ("x",))])
def test_a_wrong_format_takes_no_line_away(form: str, message: str, arguments: tuple[object, ...]) -> None:
    line = lines_of(form, record(message, *arguments))
    assert message in line
    assert "x" in line


@pytest.mark.parametrize("form", FORMS)
def test_a_line_has_an_end(form: str) -> None:
    line = lines_of(form, record("a" * 10 * LONGEST, error=ValueError("b" * 10 * LONGEST)))
    assert len(line) < 3 * LONGEST
    assert "characters more" in line


# --- repetition


def passed(repetition: Repetition, text: str, times: int, *, at: float, name: str = "mkfs") -> list[str]:
    told = []
    for _ in range(times):
        one = logging.LogRecord(name, logging.WARNING, "x.py", 1, text, None, None)
        one.created = at
        if repetition.filter(one):
            told.append(one.msg)
    return told


def test_what_is_said_again_and_again_is_logged_now_and_then_with_a_count() -> None:
    repetition = Repetition()
    assert passed(repetition, "a", 100, at=0) == ["a"] * FIRST
    assert passed(repetition, "b", 1, at=1) == ["b"]
    assert passed(repetition, "a", 100, at=PERIOD_SECONDS - 1) == []
    assert passed(repetition, "a", 100, at=PERIOD_SECONDS) == [f"a (said {200 - FIRST} more times before)"]
    assert passed(repetition, "a", 1, at=2 * PERIOD_SECONDS) == ["a (said 99 more times before)"]
    assert passed(repetition, "a", FIRST, at=3 * PERIOD_SECONDS) == ["a"] * FIRST


def test_a_clock_that_was_put_back_silences_nobody() -> None:
    repetition = Repetition()
    passed(repetition, "a", 100, at=10_000)
    assert passed(repetition, "a", 1, at=5) != []


def test_however_many_texts_there_are_few_are_remembered() -> None:
    repetition = Repetition()
    assert all(passed(repetition, f"{number}", 1, at=0) for number in range(10 * REMEMBERED))
    assert len(repetition._seen) <= REMEMBERED


# --- where it goes


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    for handler in root.handlers:
        if handler not in handlers:
            handler.stream.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("verbosity", "level", "meant"),
    [(0, None, "INFO"), (-1, None, "WARNING"), (1, None, "DEBUG"), (1, "error", "ERROR"), (-1, "debug", "DEBUG")],
)
def test_the_level_that_was_named_wins(root: logging.Logger, tmp_path: Path, verbosity: int, level: str | None, meant: str) -> None:
    logs.start(verbosity, str(tmp_path / "log"), level=level)
    assert logging.getLevelName(root.level) == meant


def test_a_file_gets_lines_for_a_person_though_the_journal_is_there(root: logging.Logger, tmp_path: Path) -> None:
    status = os.fstat(sys.stderr.fileno())
    logs.start(0, str(tmp_path / "log"), journal_stream=f"{status.st_dev}:{status.st_ino}")
    logging.getLogger("mkfs.test").info("a\nb")
    assert (tmp_path / "log").read_text().endswith(r" INFO mkfs.test: a\nb" + "\n")


def test_the_journal_is_known_by_device_and_inode_of_standard_error(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert logs.is_journal(f"{status.st_dev}:{status.st_ino}", stream.fileno())
        for other in ("", "1", f"{status.st_dev}:{status.st_ino + 1}", f"{status.st_dev}:{status.st_ino}x", "a:b"):
            assert not logs.is_journal(other, stream.fileno())
    assert not logs.is_journal("1:1", 10**6)


def test_a_file_that_cannot_be_written_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        logs.start(0, str(tmp_path))
