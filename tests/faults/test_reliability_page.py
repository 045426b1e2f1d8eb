"""docs/RELIABILITY.md lists the cases there are, and none failed when it was written."""

import json
import subprocess
import sys
from pathlib import Path

from tests.plugins.faults import cases_on

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "RELIABILITY.md").read_text("utf-8")


def test_of_each_group_that_was_run_the_page_lists_every_case_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "cases.json"
    # Collecting all tests takes five times as long.
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.fault(" in path.read_text("utf-8")]
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "fault", "--all-faults", f"--list-faults={target}"]
    subprocess.run([*words, *files], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    there = {group: sorted(cases) for group, cases in json.loads(target.read_text()).items()}
    listed = {group: sorted(cases) for group, cases in cases_on(PAGE).items()}
    assert listed.keys() == there.keys()
    assert listed == {group: cases if listed[group] else [] for group, cases in there.items()}, "run scripts/faults"


def test_no_case_on_the_page_failed() -> None:
    assert " — **failed" not in PAGE
