"""Bytes per second from counts that are looked at now and then."""

from mkfs.service.rates import SAMPLES, Rate, Rates


def test_before_there_is_something_to_compare_the_rate_is_nothing() -> None:
    rates = Rates()
    assert rates.rate(5.0, 100, 100) == Rate(0.0, 0.0, 0.0)
    rates.note(5.0, 100, 100)
    assert rates.rate(5.0, 100, 100) == Rate(0.0, 0.0, 0.0)


def test_the_rate_is_that_since_the_oldest_look() -> None:
    rates = Rates()
    rates.note(0.0, 0, 1000)
    rates.note(1.0, 50, 1000)
    assert rates.rate(2.0, 300, 1500) == Rate(2.0, 150.0, 250.0)


def test_what_is_long_ago_does_not_count() -> None:
    rates = Rates()
    rates.note(0.0, 0, 0)
    for second in range(1, SAMPLES + 1):
        rates.note(float(second), 1000, 0)
    assert rates.rate(float(SAMPLES + 1), 1000, 0) == Rate(float(SAMPLES), 0.0, 0.0)
