"""zot, where its binary is given: configured as its documents say (examples/config-minimal.json), with everything in a directory.

Nobody who wrote this had a binary to run it with: its configuration, and what it says when it listens, are from its source.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.processes import listening

_LISTENING: Final = re.compile(r'(?=.*kernel chosen port).*"port": ?([0-9]+)')


@contextmanager
def zot_serving(zot: Path, directory: Path) -> Iterator[str]:
    """Runs it until the block is left. Gives its `host:port`."""
    config = directory / "zot.json"
    http = {"address": "127.0.0.1", "port": "0"}
    storage = {"rootDirectory": str(directory / "zot")}
    config.write_text(json.dumps({"distSpecVersion": "1.1.1", "storage": storage, "http": http, "log": {"level": "info"}}))
    with listening(["sh", "-c", 'exec "$0" serve "$1" >&2', zot, config], _LISTENING) as port:
        yield f"127.0.0.1:{port}"
