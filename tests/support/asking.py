"""What `status --format json` says of a mount, for tests."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.mounting import Shell

_ENOUGH_SECONDS = 60
_POLL_SECONDS = 0.05


def status(shell: Shell, place: Path, exit_code: int = 0) -> dict[str, Any]:
    """The document; fails the test where the command ends otherwise."""
    ran = shell.run("status", place, "--format", "json")
    assert ran.exit_code == exit_code, ran
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def report(shell: Shell, place: Path) -> dict[str, Any]:
    """What the mount's process says of itself."""
    told: dict[str, Any] = status(shell, place)["report"]
    return told


def layer_named(told: dict[str, Any], name: str) -> dict[str, Any]:
    """The layer whose label has `name` in it."""
    (layer,) = [layer for artifact in told["artifacts"] for layer in artifact["layers"] if name in layer["label"]]
    return dict(layer)


def report_when(shell: Shell, place: Path, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first report for which `holds` is true. Fails the test where none comes."""
    deadline = time.monotonic() + _ENOUGH_SECONDS
    while not holds(told := report(shell, place)):
        assert time.monotonic() < deadline, told
        time.sleep(_POLL_SECONDS)  # nobody tells a test when readers have come, or guesses are over
    return told


def is_quiet(told: dict[str, Any]) -> bool:
    """Whether nothing is fetched, and nothing waits to be."""
    moved = told["transfer"]
    return not any(moved[name] for name in ("requests_for_readers", "requests_ahead", "requests_in_background", "requests_waiting"))
