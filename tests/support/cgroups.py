"""A control group for memory, of either version (cgroups(7))."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.mounting import wait_for

_FIRST, _SECOND = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cgroup:
    """Made by `made`, and gone after that block; whoever is still in it then goes back to where the group was made."""

    directory: Path

    @classmethod
    @contextmanager
    def made(cls, name: str) -> Iterator[Self]:
        group = cls((_FIRST if _FIRST.is_dir() else _SECOND) / name)
        group.directory.mkdir()
        try:
            yield group
        finally:
            for pid in (group.directory / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):  # it ends just now
                    (group.directory.parent / "cgroup.procs").write_text(pid)
            wait_for(group._is_gone)

    def _is_gone(self) -> bool:
        """Whether it could be removed: for a moment it is in use by who has just ended in it."""
        with suppress(OSError):
            os.rmdir(self.directory)
        return not self.directory.exists()

    @property
    def _is_first(self) -> bool:
        return self.directory.parent == _FIRST

    def add(self, pid: int) -> None:
        """Moves a process into it. What it has stays counted where it was, what it takes from now on is counted here."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def limit(self, size_bytes: int) -> None:
        """How much memory those in it may take."""
        (self.directory / ("memory.limit_in_bytes" if self._is_first else "memory.max")).write_text(str(size_bytes))

    def kills(self) -> int:
        """How many processes the kernel has ended for want of memory here."""
        text = (self.directory / ("memory.oom_control" if self._is_first else "memory.events")).read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
