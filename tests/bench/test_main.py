"""`scripts/bench`: a question that fails is said to have failed, and keeps no other from being asked."""

import pytest

from bench.__main__ import ask
from bench.report import Answer, Row
from bench.scene import Failed

ANSWER = Answer("good", "how long it takes", [Row("it", "s", [1.0])])


def broken() -> Answer:
    raise Failed("the mount failed")


def defect() -> Answer:
    raise IndexError("list index out of range")


def test_one_that_fails_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    answers, failed = ask({"broken": broken, "good": lambda: ANSWER, "defect": defect})
    assert failed == ["broken", "defect"]
    assert answers["good"] == ANSWER.as_json()
    assert [answers[name] for name in failed] == [{"failed": "the mount failed"}, {"failed": "list index out of range"}]
    said = capsys.readouterr().out
    assert "== broken: FAILED: the mount failed" in said
    assert ANSWER.text() in said


def test_a_person_who_interrupts_is_heard() -> None:
    def interrupted() -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask({"first": interrupted})
