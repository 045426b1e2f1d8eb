"""Units: what people type for a size, and what they read for sizes and durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import UsageError
from mkfs.units import GIB, KIB, MIB, TIB, format_age, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("64K", 64 * KIB),
        ("64KiB", 64 * KIB),
        ("64 mib", 64 * MIB),
        (" 1GiB ", GIB),
        ("2t", 2 * TIB),
    ],
)
def test_sizes_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.5GiB", "1MB", "1 Gib 2", "0x10", "1e9", "٣", "1PiB", "1\x00"])
def test_what_is_no_size_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a size: .*expected a number and one of KiB, MiB, GiB, TiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (MIB, "1.0 MiB"),
        (int(3.5 * GIB), "3.5 GiB"),
        (5000 * TIB, "5000.0 TiB"),
    ],
)
def test_sizes_are_short_to_read(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(0, 999), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
def test_a_round_size_reads_back_from_what_was_printed(number: int, unit: str) -> None:
    size_bytes = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size_bytes).replace(".0 ", "")) == size_bytes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.35, "0.3 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_as_exact_as_a_person_needs(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("45min", 2700), ("12h", 43200), (" 30 d ", 2592000), ("0s", 0)])
def test_durations_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "12", "1.5h", "1m", "-1d", "1w", "h"])
def test_what_is_no_duration_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a duration: .*expected a number and one of s, min, h, d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (59, "now"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 days"),
        (729 * 86_400, "729 days"),
        (730 * 86_400, "2 years"),
    ],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert format_age(seconds) == text
