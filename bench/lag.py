"""How long our daemon's loop was kept from its other work: the longest step of a task, seen by a hook in its interpreter."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from bench.scene import Scene
from tests.support.mounting import SOURCE, Shell

_HOOK: Final = Path(__file__).with_name("hook")


@final
@dataclass
class Lag:
    """What was seen; complete when the daemon has ended. A step is long beyond 10 ms."""

    steps: int = 0
    long: int = 0
    longest_seconds: float = 0.0
    longest_cpu_seconds: float = 0.0


@contextmanager
def watched(scene: Scene) -> Iterator[tuple[Scene, Lag]]:
    """The same scene, whose daemon is watched; what was seen is there when the block is left. One mount."""
    seen, report = Lag(), scene.directory / "lag.json"
    environment = {**scene.shell.environment, "PYTHONPATH": f"{_HOOK}:{SOURCE}", "MKFS_BENCH_LAG": str(report)}
    yield replace(scene, shell=Shell(scene.shell.home, environment)), seen
    for name, value in json.loads(report.read_text("ascii")).items():
        setattr(seen, name, value)
