"""The project's own files, as git sees them: tracked, or new and not ignored."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


@cache
def project_files() -> tuple[Path, ...]:
    """All files of the project that exist, golden artifacts left out: those are other programs' bytes."""
    # safe.directory: a checkout may belong to another user (a volume in a container).
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    files = (ROOT / name for name in sorted(set(names)) if name and not name.startswith("tests/golden/"))
    return tuple(path for path in files if path.is_file())


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return [path for path in project_files() if path.suffix == ".py"]


def shown(path: Path) -> str:
    """`path` for a message: relative to the project."""
    return str(path.relative_to(ROOT))
