"""The commands that make and push a chunk index, as a person runs them; a build that has none is told apart."""

import os
from pathlib import Path
from typing import Final

from bench.processes import anonymous_memory
from bench.scene import Scene

TRUSTING: Final = ("--trust-index", "registry")
NOT_AVAILABLE: Final = "not available (this build has no `kitfs index`)"


def is_available(scene: Scene) -> bool:
    """Whether this build can make a chunk index and believe a pushed one."""
    return scene.shell.run("index", "--help").exit_code == 0 and TRUSTING[0] in scene.shell.run("mount", "--help").stdout


def run_index(scene: Scene, *words: str | Path) -> int:
    """`kitfs index …` from an empty cache, which is empty again afterwards. The most private memory that it held, in bytes."""
    scene.clear_cache()
    with scene.shell.start("index", *words) as process:
        with anonymous_memory(process.pid) as peak:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped: /proc still has it
        _, stderr = process.communicate()
    scene.clear_cache()
    if process.returncode:
        raise SystemExit(f"bench: kitfs index failed (exit code {process.returncode})\n{stderr}")
    return peak.size_bytes
