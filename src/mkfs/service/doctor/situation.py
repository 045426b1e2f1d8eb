"""Where doctor looks, and for whom: plain values. The machine's files are read below a root, so that tests can show another one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from mkfs.service.settings import SourceSettings

_LIMIT_BYTES: Final = 1 << 20  # of a file of /proc or /etc; a mount table of thousands of mounts has some hundred KiB


@final
@dataclass(frozen=True, slots=True)
class Machine:
    """The files of a machine. `root` is where its `/` is."""

    root: Path = Path("/")

    def path(self, path: str) -> Path:
        """Where `path` (absolute) really is."""
        return self.root / path.lstrip("/")

    def exists(self, path: str) -> bool:
        """Whether there is such a file, and we may know it."""
        return os.access(self.path(path), os.F_OK)

    def text(self, path: str) -> str | None:
        """What a file says, without blanks around it; None where it cannot be read."""
        try:
            with self.path(path).open("rb") as file:
                return file.read(_LIMIT_BYTES).decode("utf-8", "surrogateescape").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The number that a file holds; None where it cannot be read, or is none."""
        text = self.text(path)
        return int(text) if text and text.isascii() and text.removeprefix("-").isdecimal() else None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a mount would be given. `source.reference` is "" where no artifact was named; `variables` are those of the environment
    that say where we run and whom TLS believes.
    """

    source: SourceSettings
    log_dir: str
    runtime_dir: str
    read_timeout_seconds: float
    uid: int
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    machine: Machine = field(default_factory=Machine)

    @property
    def root(self) -> bool:
        """Whether we are root, who needs no helper to mount."""
        return self.uid == 0
