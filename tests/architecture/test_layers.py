"""The rooms and who may import whom: the contracts in pyproject.toml hold."""

import os
import subprocess
import sys
from typing import Final

from tests.architecture.tree import ROOT

# A process of its own: import-linter sets logging up anew, which would silence the loggers of every test after this one.
PROGRAM: Final = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def test_rooms_import_only_what_they_may() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
