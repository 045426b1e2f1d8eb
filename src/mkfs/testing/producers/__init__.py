"""What other producers make of a directory: their artifact, and the files their own tool lays out from it.

For producers and versions whose real artifacts are not among the golden ones, one module each; the rules are those of their
sources, named there. A project is files by path; directories are those on the way to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

from mkfs.testing.artifacts import Artifact

Files: TypeAlias = Mapping[str, bytes]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """An artifact, and what its tool writes of it, files that come from the config not counted."""

    artifact: Artifact
    files: Files
