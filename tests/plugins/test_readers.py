"""The tables of readers are made of what happened."""

import pytest

from tests.plugins.readers import COLUMNS, marks, rows_on, written


def test_a_table_is_written_between_its_marks_and_read_again() -> None:
    begin, end = marks("replays")
    row = tuple(f"cell {number}" for number in range(len(COLUMNS["replays"])))
    page = written(f"before\n{begin}\nstale\n{end}\nafter\n", "replays", [row])
    assert rows_on(page, "replays") == [row]
    assert page.startswith(f"before\n{begin}\n")
    assert page.endswith(f"\n{end}\nafter\n")
    assert "stale" not in page


def test_a_row_is_that_of_its_test_and_says_when_a_phase_of_it_failed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def untidy():
            yield
            raise AssertionError("left behind")

        def test_right(record_property): record_property("replays", ["right", 1])
        def test_untidy(record_property, untidy): record_property("replays", ["untidy", 2])
        def test_wrong(record_property):
            record_property("replays", ["wrong", 3])
            raise AssertionError
        def test_other(record_property): record_property("other", "no row")
        """
    )
    page = pytester.path / "page.md"
    page.write_text("".join(f"{begin}\n{end}\n" for begin, end in map(marks, COLUMNS)))
    pytester.runpytest_inprocess("-p", "tests.plugins.readers", "--readers", str(page)).assert_outcomes(
        passed=3, failed=1, errors=1
    )
    assert rows_on(page.read_text(), "replays") == [("right", "1"), ("untidy **failed**", "2"), ("wrong **failed**", "3")]
    assert rows_on(page.read_text(), "readers") == []
