"""Ways that ask for names and attributes alone."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench.ways.common import Take, in_threads

_POLLERS: Final = 16
# What transformers and sentence-transformers look for, and mostly do not find.
_PROBES: Final = tuple(
    f"{name}{end}"
    for name in ("adapter_config", "modules", "vocab", "merges", "spiece")
    for end in (".json", ".txt", ".model", ".bin", ".pt")
)


def polled(directory: Path, take: Take) -> None:  # noqa: ARG001 - every way is called the same way
    """16 at a time list everything and stat every file, then 25 files are looked for that are not there: Triton, transformers."""

    def look(_: int) -> None:
        for place, _directories, files in os.walk(directory):
            for name in files:
                os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118 - the system call, and nothing else

    in_threads(_POLLERS, look, range(_POLLERS))
    for name in _PROBES:
        with suppress(FileNotFoundError):
            (directory / name).stat()
