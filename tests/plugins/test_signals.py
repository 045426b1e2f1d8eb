"""What tests start hears what tests ignore."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.plugins import signals

ASKED = "import signal; print(*(signal.getsignal(n) == signal.SIG_IGN for n in (signal.SIGHUP, signal.SIGINT)))"


@pytest.fixture
def ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def said() -> str:
    return subprocess.run([sys.executable, "-S", "-c", ASKED], capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_that_ignores_signals_starts_programs_that_hear_them(ignored: None) -> None:
    assert said() == "True True"
    signals.pytest_configure()
    assert said() == "False False"
