"""EXAMPLES decides how many there are, whatever a test says of itself."""

import pytest
from hypothesis import settings

TESTS = """
    from hypothesis import given, settings, strategies

    seen = []

    @settings(max_examples=3, derandomize=True)
    @given(number=strategies.integers())
    def test_few(number):
        seen.append(number)

    @given(number=strategies.integers())
    async def test_as_many_as_usual(number):
        seen.append(number)

    def test_count():
        assert len(seen) == %d
"""


@pytest.mark.parametrize(("given", "seen"), [(None, 3 + settings().max_examples), ("7", 14)])
def test_so_many_are_tried_as_are_asked_for(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, given: str | None, seen: int
) -> None:
    monkeypatch.delenv("EXAMPLES", raising=False)
    if given is not None:
        monkeypatch.setenv("EXAMPLES", given)
    pytester.makepyfile(TESTS % seen)
    plugins = ("-p", "tests.plugins.trio_tests", "-p", "tests.plugins.examples")
    pytester.runpytest_inprocess(*plugins).assert_outcomes(passed=3)
