"""Work that may hang, in children: what they say, what is said of those that say nothing, and that none is left."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from mkfs.service.doctor.children import Job, Tell, Told, listened_to
from mkfs.service.doctor.finding import Finding, Status, ok
from tests.support.mounting import ended

LONG = 60.0  # never waited for
SOON = 0.5  # waited for, by who says nothing anyway


def says(*checks: str) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        for check in checks:
            tell(Told(check, ok(f"{check} is well")))

    return work


def hangs(fifo: Path, *checks: str) -> Callable[[Tell], None]:
    """Says some, and then opens a FIFO that nobody writes to: as deep in the kernel as a file system that answers no more."""

    def work(tell: Tell) -> None:
        says(*checks)(tell)
        os.close(os.open(fifo, os.O_RDONLY))

    return work


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def finding(told: Told) -> Finding:
    assert told.finding is not None
    return told.finding


def test_findings_come_in_the_order_of_the_jobs() -> None:
    jobs = [Job(("a", "b"), LONG, says("a", "b")), Job(("c",), LONG, says("c"))]
    assert [(told.check, finding(told).text) for told in listened_to(jobs)] == [
        ("a", "a is well"),
        ("b", "b is well"),
        ("c", "c is well"),
    ]


def test_what_hangs_is_told_and_holds_up_nobody(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is over as soon as it has said its word, and not before, however busy the machine is."""
    jobs = [Job(("a", "b", "c"), LONG, hangs(fifo, "a")), Job(("d",), 3 * LONG, says("d"))]
    listening = listened_to(jobs)
    told = [next(listening)]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + LONG, sleep=time.sleep)
    monkeypatch.setattr("mkfs.service.doctor.children.time", clock)
    told += listening
    assert [each.check for each in told] == ["a", "b", "d"]
    assert (finding(told[1]).status, finding(told[1]).exit_code) == (Status.FAIL, 1)
    assert "no answer within 60 s" in finding(told[1]).text
    assert finding(told[1]).remedy


def test_many_findings_fit_through(fifo: Path) -> None:
    """More than a pipe holds, from a child that nobody listens to yet."""
    checks = tuple(f"check-{number:05}-{'x' * 200}" for number in range(1000))
    told = list(listened_to([Job(("first",), SOON, hangs(fifo)), Job(checks, LONG, says(*checks))]))
    assert [each.check for each in told[1:]] == list(checks)


def test_a_child_that_leaves_out_its_last_checks_is_believed() -> None:
    assert [told.check for told in listened_to([Job(("a", "b"), LONG, says("a"))])] == ["a"]


def test_a_defect_in_a_child_is_one_failed_finding() -> None:
    def breaks(tell: Tell) -> None:
        says("a")(tell)
        raise RuntimeError("a defect")

    told = list(listened_to([Job(("a", "b", "c"), LONG, breaks)]))
    assert [(each.check, finding(each).status) for each in told] == [("a", Status.OK), ("b", Status.FAIL)]
    assert "-vv" in finding(told[1]).remedy


def test_a_child_that_is_killed_is_one_too() -> None:
    def dies(_tell: Tell) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    (told,) = listened_to([Job(("a",), LONG, dies)])
    assert finding(told).status is Status.FAIL


def test_none_is_left_and_what_they_started_ends_with_them(tmp_path: Path, fifo: Path) -> None:
    def starts_another(tell: Tell) -> None:
        other = os.fork()
        if other == 0:
            os.open(fifo, os.O_RDONLY)
        (tmp_path / "pids").write_text(f"{os.getpid()} {other}")
        tell(Told("a", ok("well")))
        os.waitpid(other, 0)

    listening = listened_to([Job(("a", "b"), LONG, starts_another)])
    assert next(listening).check == "a"
    listening.close()  # type: ignore[attr-defined]  # a generator
    child, other = map(int, (tmp_path / "pids").read_text().split())
    with pytest.raises(ChildProcessError):  # by its number: tests before this one may have left children
        os.waitpid(child, os.WNOHANG)
    assert ended(child)
    assert ended(other)


def test_what_a_child_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    def prints(tell: Tell) -> None:
        os.write(1, b"on stdout")
        os.write(2, b"on stderr")
        says("a")(tell)

    assert [told.check for told in listened_to([Job(("a",), LONG, partial(prints))])] == ["a"]
    assert capfd.readouterr() == ("", "")
