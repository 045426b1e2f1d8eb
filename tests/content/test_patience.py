"""Patience: a link that lives is never given up; one that is dead is, and a wrong blob is not asked for again and again."""

from mkfs.content.patience import (
    ABSENCE_SECONDS,
    FIRST_DELAY_SECONDS,
    GIVE_UP_SECONDS,
    LEAST_BYTES,
    LONGEST_DELAY_SECONDS,
    LONGEST_VERDICT_SECONDS,
    Patience,
    Verdict,
)
from mkfs.errors import IntegrityError, Unreachable
from mkfs.units import KIB


def delays(patience: Patience, now: float) -> tuple[list[float], float]:
    taken = []
    while (delay := patience.next_delay(now)) is not None:
        taken.append(delay)
        now += delay
    return taken, now


def test_a_dead_link_is_given_up_after_a_minute_with_growing_pauses() -> None:
    taken, end = delays(Patience(100.0), 100.0)
    assert taken == sorted(taken)
    assert taken[0] < 1
    assert taken[-1] == LONGEST_DELAY_SECONDS
    assert GIVE_UP_SECONDS <= end - 100.0 <= GIVE_UP_SECONDS + LONGEST_DELAY_SECONDS


def test_progress_starts_the_minute_anew() -> None:
    patience = Patience(0.0)
    first, end = delays(patience, 0.0)
    patience.progressed(LEAST_BYTES, end)
    again, _ = delays(patience, end)
    assert again == first


def test_a_few_bytes_now_and_then_are_no_progress() -> None:
    patience = Patience(0.0)
    for second in range(int(GIVE_UP_SECONDS)):
        patience.progressed(10, float(second))
        assert patience.next_delay(float(second)) == FIRST_DELAY_SECONDS
    assert patience.next_delay(GIVE_UP_SECONDS) is None


def test_a_slow_link_is_progress() -> None:
    patience = Patience(0.0)
    for second in range(600):
        patience.progressed(2 * KIB, float(second))
        assert patience.next_delay(float(second)) == FIRST_DELAY_SECONDS


def test_a_verdict_grows_harder_up_to_ten_minutes() -> None:
    error = IntegrityError("wrong bytes")
    verdict, pauses = None, []
    for now in range(0, 7000, 1000):
        verdict = Verdict.after(verdict, error, float(now))
        assert verdict.until == now + verdict.pause_seconds
        pauses.append(verdict.pause_seconds)
    assert pauses[:4] == [60, 120, 240, 480]
    assert pauses[-1] == LONGEST_VERDICT_SECONDS


def test_a_verdict_on_bytes_that_did_not_come_is_short_and_makes_no_other_harder() -> None:
    absent = Verdict.after(None, Unreachable("nobody there"), 100.0)
    assert absent.until == 100.0 + ABSENCE_SECONDS
    wrong = Verdict.after(absent, IntegrityError("wrong bytes"), 200.0)
    assert wrong.pause_seconds == 60
    assert Verdict.after(wrong, Unreachable("nobody there"), 300.0).pause_seconds == ABSENCE_SECONDS
