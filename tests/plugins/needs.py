"""What a test needs besides Python, said by a marker.

`fuse`, `registry`, `oras`, `crane`, `strace`, `systemd`: `scripts/test` installs these. A test that misses one is skipped with the
reason; with `CI=true` this and every other skip is a failure, so that nothing goes untested unnoticed. `given(NAME)`: a program
that only whoever runs the tests can give, by its path in the environment variable NAME; where it is unset, the test is deselected.
"""

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

_TOOLS: Final = Path(__file__).resolve().parents[2] / ".tools" / "bin"  # where scripts/install-oras and -crane put them
_PROGRAMS: Final = {
    "registry": "docker-registry",
    "oras": "oras",
    "crane": "crane",
    "strace": "strace",
    "systemd": "systemd-analyze",
}


def program(name: str) -> Path | None:
    """The program `name`: ours from `.tools/bin`, else the one on the PATH."""
    found = shutil.which(name, path=_TOOLS) or shutil.which(name)
    return Path(found) if found else None


@pytest.fixture(scope="session")
def docker_registry() -> Path:
    """Debian's registry. For tests marked `registry`."""
    return _found("docker-registry")


@pytest.fixture(scope="session")
def oras() -> Path:
    """The real oras. For tests marked `oras`."""
    return _found("oras")


@pytest.fixture(scope="session")
def crane() -> Path:
    """The real crane. For tests marked `crane`."""
    return _found("crane")


@pytest.fixture(scope="session")
def ggcr_registry() -> Path:
    """Ggcr's registry with the referrers API, built beside crane. For tests marked `crane`."""
    return _found("ggcr-registry")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what needs programs that were not given."""
    idle = [item for item in items if any(not os.environ.get(mark.args[0]) for mark in item.iter_markers("given"))]
    if idle:
        config.hook.pytest_deselected(items=idle)
        items[:] = [item for item in items if item not in idle]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what misses something."""
    if item.get_closest_marker("fuse") and not (Path("/dev/fuse").exists() and os.geteuid() == 0):
        pytest.skip("needs /dev/fuse and root")
    for marker, name in _PROGRAMS.items():
        if item.get_closest_marker(marker):
            _found(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test has failed; an expected failure is none of our business."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file."""
    report = yield
    if report.skipped:
        _fail_in_ci(report)
    return report


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI", "").lower() in ("true", "1"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome, report.longrepr = "failed", f"in CI a skip is a failure: {reason}"


def _found(name: str) -> Path:
    return program(name) or pytest.skip(f"needs {name}: run scripts/install --test")
