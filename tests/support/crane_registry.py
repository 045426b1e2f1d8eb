"""ggcr's registry as a process of our own, with blobs in a directory and manifests in its memory: as `crane registry serve` runs it
(no referrers API), or with the referrers API (scripts/install-crane builds that).
"""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LISTENING: Final = re.compile(r"serving on port ([0-9]+)")
_END_SECONDS: Final = 10


@contextmanager
def crane_serving(crane: Path, directory: Path) -> Iterator[str]:
    """Runs `crane registry serve` until the block is left. Gives its `host:port`."""
    with _running([str(crane), "registry", "serve", "--address", "127.0.0.1:0", "--disk", str(directory)]) as host:
        yield host


@contextmanager
def ggcr_serving(ggcr_registry: Path, directory: Path, warning: str = "") -> Iterator[str]:
    """Runs the one with the referrers API; `warning` comes with every answer."""
    with _running([str(ggcr_registry), str(directory), *([warning] if warning else [])]) as host:
        yield host


@contextmanager
def _running(command: list[str]) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        words: list[str] = []
        try:
            for line in process.stderr:
                words.append(line)
                if found := _LISTENING.search(line):
                    break
            else:
                raise AssertionError(f"{command[0]} did not start: {''.join(words)}")
            threading.Thread(target=words.extend, args=(process.stderr,), daemon=True).start()
            yield f"127.0.0.1:{found[1]}"
            assert process.poll() is None, f"{command[0]} ended by itself: {''.join(words[-20:])}"
        finally:
            process.terminate()
            process.wait(_END_SECONDS)
