"""Gives what tests start the signals that it would have at a prompt.

Who runs the tests under nohup(1), or in the background of a script, has them ignore SIGHUP or SIGINT, and whatever they start would
inherit that. A handler that does nothing is as good for the run itself, and execve(2) takes it away.
"""

import signal
from typing import Final

SIGNALS: Final = (signal.SIGHUP, signal.SIGINT)


def pytest_configure() -> None:
    """Puts a handler where a signal is ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
