"""The log plugin: what a warning does to a test. The inner runs log in this process, so the tests here announce it, too."""

import pytest

INNER = """
    import logging
    import pytest

    log = logging.getLogger("disk")

    {body}
"""


def run(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nmarkers = logs(regex): announced")
    pytester.makepyfile(INNER.format(body=body.replace("\n", "\n    ")))
    return pytester.runpytest_inprocess("-p", "tests.plugins.logs")


@pytest.mark.logs("disk 1 is full")
def test_a_warning_nobody_announced_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it():\n    log.warning('disk %d is full', 1)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*logged, but not announced: WARNING disk: disk 1 is full*"])


@pytest.mark.logs("is full")
def test_an_announced_warning_passes(pytester: pytest.Pytester) -> None:
    run(pytester, "@pytest.mark.logs('disk .* full')\ndef test_it():\n    log.error('disk 1 is full')").assert_outcomes(passed=1)


def test_an_announced_warning_that_never_came_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "@pytest.mark.logs('disk .* full')\ndef test_it():\n    log.info('disk 1 is full')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*announced, but not logged: disk .* full*"])


@pytest.mark.logs("(first|last) words")
@pytest.mark.parametrize(("words", "outcome"), [("first words", {"failed": 1}), ("last words", {"passed": 1, "errors": 1})])
def test_warnings_of_fixtures_count(pytester: pytest.Pytester, words: str, outcome: dict[str, int]) -> None:
    where = ("log.warning('first words')", "pass") if words == "first words" else ("pass", "log.warning('last words')")
    body = f"@pytest.fixture\ndef noisy():\n    {where[0]}\n    yield\n    {where[1]}\ndef test_it(noisy):\n    pass"
    run(pytester, body).assert_outcomes(**outcome)


@pytest.mark.logs("on fire")
def test_a_failing_test_keeps_its_own_reason(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it():\n    log.warning('on fire')\n    assert 1 == 2")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*not announced*")
