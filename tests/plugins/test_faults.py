"""The table of faults is made of what happened."""

import pytest

from tests.plugins.faults import _BEGIN, _END, cases_on, written

PAGE = f"# Reliability\n\n{_BEGIN}\nold\n{_END}\n\nmore\n"


def test_results_stand_between_the_marks_and_are_found_again() -> None:
    page = written(PAGE, {"T": {"a name: x_y": "passed", "b": "failed: WrongByte: at 3"}})
    assert page.startswith("# Reliability\n")
    assert page.endswith(f"{_END}\n\nmore\n")
    assert "old" not in page
    assert "| T | tars that are damaged, exotic or hostile | 2 | 1 | 1 | 0 |" in page
    assert "- b — **failed: WrongByte: at 3**" in page
    assert cases_on(page)["T"] == ["a name: x\\_y", "b"]
    again = written(page, {"T": {"a name: x_y": "passed"}, "Z": {"z": "passed"}})
    assert again.count(_BEGIN) == 1
    assert (cases_on(again)["T"], cases_on(again)["Z"]) == (["a name: x\\_y"], ["z"])


def test_a_run_of_some_groups_leaves_the_others_as_they_were() -> None:
    page = written(PAGE, {"T": {"a_b": "passed", "c": "failed: x_y"}})
    again = written(page, {"Z": {"z": "passed"}})
    assert cases_on(again)["T"] == ["a\\_b", "c"]
    assert "- c — **failed: x\\_y**" in again
    assert "| T | tars that are damaged, exotic or hostile | 2 | 1 | 1 | 0 |" in again


def test_a_case_is_noted_by_the_worst_of_its_phases(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    fault(group): a case")
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.fault("Z")

        @pytest.fixture
        def untidy():
            yield
            raise AssertionError("left behind")

        def test_right(): pass
        @pytest.mark.parametrize("n", [1], ids=["one"])
        def test_wrong(n): assert n == 2
        def test_untidy(untidy): pass
        """
    )
    page = pytester.path / "page.md"
    page.write_text(PAGE)
    pytester.runpytest_inprocess("-p", "tests.plugins.faults", "--reliability", str(page)).assert_outcomes(
        passed=2, failed=1, errors=1
    )
    text = page.read_text()
    assert "compressed layers: damaged, bombs, other than they say | 3 | 1 | 2 | 0 |" in text
    assert "- wrong: one — **failed: AssertionError: assert 1 == 2**" in text
    assert "- untidy — **failed: AssertionError: left behind**" in text


def test_of_very_many_cases_each_run_has_a_share(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    fault(group): a case\n    share(n): of many")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.share(4)
        @pytest.mark.fault("T")
        @pytest.mark.parametrize("n", range(10))
        def test_many(n): assert n % 4 == 0
        """
    )
    pytester.runpytest_inprocess("-p", "tests.plugins.faults").assert_outcomes(passed=3, deselected=7)
    pytester.runpytest_inprocess("-p", "tests.plugins.faults", "--all-faults").assert_outcomes(passed=3, failed=7)


def test_what_takes_long_runs_only_where_all_is_asked_for_and_the_page_says_so(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    fault(group): a case\n    long: takes long")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.fault("M")
        @pytest.mark.parametrize("n", [2, pytest.param(32, marks=pytest.mark.long)])
        def test_many(n): pass
        """
    )
    page = pytester.path / "page.md"
    page.write_text(PAGE)
    words = ("-p", "tests.plugins.faults", "--reliability", str(page))
    pytester.runpytest_inprocess(*words).assert_outcomes(passed=1, deselected=1)
    assert cases_on(page.read_text())["M"] == ["many: 2"]
    pytester.runpytest_inprocess(*words, "--all-faults").assert_outcomes(passed=2)
    assert cases_on(page.read_text())["M"] == ["many: 2", "many: 32 (only in scripts/faults)"]
