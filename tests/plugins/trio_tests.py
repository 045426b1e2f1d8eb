"""Runs `async def` tests under trio, each in a loop of its own.

A test that asks for `autojump_clock` (or `mock_clock`) runs on that clock: with the first, time jumps ahead whenever every task
waits, so that a test of a ten-minute deadline takes no time; with the second it stands still until the test moves it. Fixtures
stay synchronous. Under `@given`, every example runs in a fresh loop.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock


@pytest.fixture
def autojump_clock() -> MockClock:
    """A clock that jumps to the next deadline as soon as every task waits."""
    return MockClock(autojump_threshold=0)


@pytest.fixture
def mock_clock() -> MockClock:
    """A clock that stands still until the test calls `jump`."""
    return MockClock()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Calls an asynchronous test; leaves every other one to pytest."""
    clocks = [value for value in pyfuncitem.funcargs.values() if isinstance(value, MockClock)]
    clock = clocks[0] if clocks else None
    examples = getattr(pyfuncitem.obj, "hypothesis", None)
    if examples is not None:
        # Unwrapped: for the second set of parameters the test is wrapped already, with the clock of the first.
        test = inspect.unwrap(examples.inner_test)
        if inspect.iscoroutinefunction(test):
            examples.inner_test = _in_a_loop(test, clock)
        return None
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    _in_a_loop(pyfuncitem.obj, clock)(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


def _in_a_loop(test: Callable[..., Awaitable[None]], clock: MockClock | None) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: object) -> None:
        trio.run(functools.partial(test, **arguments), clock=clock)

    return run
