"""Programs that run beside a test and say on stderr when they are ready."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_END_SECONDS: Final = 30


@contextmanager
def listening(command: Sequence[str | Path], ready: re.Pattern[str], words: list[str] | None = None) -> Iterator[str]:
    """Runs `command` until the block is left. Gives the first group of `ready` in the line that says so.

    `words` grows by what it says.
    """
    name, words = command[0], [] if words is None else words
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}  # no cloud of anybody's
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        drain = threading.Thread(target=words.extend, args=(process.stderr,), daemon=True)
        try:
            for line in process.stderr:
                words.append(line)
                if found := ready.search(line):
                    break
            else:
                raise AssertionError(f"{name} did not start: {''.join(words)}")
            drain.start()
            yield found[1]
            assert process.poll() is None, f"{name} ended by itself: {''.join(words[-20:])}"
        finally:
            process.terminate()
            process.wait(_END_SECONDS)
            if drain.ident is not None:
                drain.join(_END_SECONDS)  # before its stream is closed
