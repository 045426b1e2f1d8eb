"""What a mount's processes left behind of what is theirs alone."""

import os
from pathlib import Path

from tests.support.mounting import Shell


def left_behind(shell: Shell) -> list[str]:
    """Mounts, processes, temporary files, staging and locks of `shell`; nothing of it may be there when all mounts have ended."""
    found = [] if shell.is_tidy() else [f"mounts {shell.mounts()}, processes {shell.processes()}"]
    found += [f"temporary {path}" for path in (shell.home / "tmp").rglob("*")]
    staging = shell.cache / "staging"
    found += [f"staged {path}" for path in (staging.rglob("*") if staging.exists() else ())]
    return found + [f"locked {path}" for path in _locked(shell.cache)]


def _locked(directory: Path) -> list[Path]:
    """The files below `directory` that somebody holds a lock on (/proc/locks, proc_locks(5))."""
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    held = {field for row in rows for field in row if field.count(":") == 2}
    return [path for path in directory.rglob("*") if path.is_file() and _name(path.stat()) in held]


def _name(about: os.stat_result) -> str:
    return f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
