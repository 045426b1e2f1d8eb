"""ggcr's registry as a process of our own, with blobs in a directory and manifests in its memory: as `crane registry serve` runs it
(no referrers API), or with the referrers API (scripts/install-crane builds that).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.processes import listening

_LISTENING: Final = re.compile(r"serving on port ([0-9]+)")


@contextmanager
def crane_serving(crane: Path, directory: Path) -> Iterator[str]:
    """Runs `crane registry serve` until the block is left. Gives its `host:port`."""
    with listening([crane, "registry", "serve", "--address", "127.0.0.1:0", "--disk", directory], _LISTENING) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def ggcr_serving(ggcr_registry: Path, directory: Path, warning: str = "") -> Iterator[str]:
    """Runs the one with the referrers API; `warning` comes with every answer."""
    with listening([ggcr_registry, directory, *([warning] if warning else [])], _LISTENING) as port:
        yield f"127.0.0.1:{port}"
