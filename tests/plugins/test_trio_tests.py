"""The trio plugin, seen from the tests that run under it and from a run of its own."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock


async def test_an_asynchronous_test_runs_in_a_loop() -> None:
    await trio.lowlevel.checkpoint()
    assert trio.lowlevel.current_task().name


async def test_ten_minutes_pass_at_once_on_the_autojump_clock(autojump_clock: MockClock) -> None:
    assert trio.lowlevel.current_clock() is autojump_clock
    start = trio.current_time()
    await trio.sleep(600)
    assert trio.current_time() - start == 600


async def test_time_stands_still_until_the_test_moves_it(mock_clock: MockClock) -> None:
    start = trio.current_time()
    mock_clock.jump(5)
    assert trio.current_time() - start == 5


@pytest.mark.parametrize("name", ["a", "b"])
@given(number=st.integers(0, 9))
@settings(max_examples=5, derandomize=True, deadline=None)
async def test_every_example_has_a_loop(name: str, number: int) -> None:
    await trio.lowlevel.checkpoint()
    assert number in range(10)
    assert name in "ab"


def test_a_failing_asynchronous_test_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from hypothesis import given, strategies

        async def test_plain(tmp_path):
            assert tmp_path is None

        @given(strategies.just(1))
        async def test_property(number):
            assert number == 2
    """)
    pytester.runpytest_inprocess("-p", "tests.plugins.trio_tests").assert_outcomes(failed=2)
