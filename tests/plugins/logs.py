"""Fails a test that logged WARNING or worse without announcing it: a warning is for a person, so each has to be meant.

`@pytest.mark.logs("regex", …)` announces: every such record must match one of the expressions (`re.search` in its message), and
every expression must have matched by the time the test function returns. Records of fixtures count as the test's own.
"""

import logging
import re
from collections.abc import Generator
from typing import Final, final

import pytest


@final
class Recorder(logging.Handler):
    """Keeps the messages of WARNING and worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the loggers, from any thread."""
        self.messages.append(f"{record.levelname} {record.name}: {record.getMessage()}")

    def take(self) -> list[str]:
        """The messages since the last call."""
        messages, self.messages = self.messages, []
        return messages


_RECORDER: Final = pytest.StashKey[Recorder]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Listens from before the first fixture."""
    recorder = item.stash[_RECORDER] = Recorder()
    logging.getLogger().addHandler(recorder)
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Judges what came until the test returned; a test that failed anyway has its own reason."""
    yield
    messages, announced = item.stash[_RECORDER].take(), _announced(item)
    unheard = [regex for regex in announced if not any(re.search(regex, message) for message in messages)]
    _judge([*_unannounced(messages, announced), *(f"announced, but not logged: {regex}" for regex in unheard)])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Judges what fixtures logged on their way out."""
    recorder = item.stash[_RECORDER]
    recorder.take()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(recorder)
    _judge(_unannounced(recorder.take(), _announced(item)))


def _announced(item: pytest.Item) -> list[str]:
    return [regex for mark in item.iter_markers("logs") for regex in mark.args]


def _unannounced(messages: list[str], announced: list[str]) -> list[str]:
    return [f"logged, but not announced: {text}" for text in messages if not any(re.search(regex, text) for regex in announced)]


def _judge(complaints: list[str]) -> None:
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)
