"""A short soak, and what it would notice. The long one is `scripts/soak`."""

import subprocess
import sys
from pathlib import Path

import pytest

from mkfs.units import MIB
from tests.support.mounting import SOURCE
from tests.support.soak_reader import Pulse
from tests.support.soaking import GROWTH_FILES, Life, Plan, soak


@pytest.mark.fuse
def test_under_faults_and_kills_nobody_gets_a_wrong_byte_or_waits_for_ever(tmp_path: Path) -> None:
    report = soak(tmp_path, Plan(faults=8, faults_per_kill=4, fault_seconds=1, scale=1, seed=3))
    assert report.misses == []
    assert report.kills == 2
    assert report.faults.total() == 8
    assert report.right_bytes > MIB


@pytest.mark.parametrize("at", [0, MIB + 5], ids=["first", "later"])
def test_a_reader_notices_a_wrong_byte(tmp_path: Path, at: int) -> None:
    for place, byte in (("mount", b"\0"), ("original", b"\1")):
        (tmp_path / place).mkdir()
        data = bytearray(2 * MIB)
        data[at : at + 1] = byte
        (tmp_path / place / "file").write_bytes(data)
    pulse = Pulse(tmp_path / "pulse", make=True)
    words = [tmp_path / "mount", tmp_path / "original", "1", tmp_path / "pulse"]
    command = [sys.executable, "-P", "-m", "tests.support.soak_reader", *words]
    environment = {"PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"WRONG: {tmp_path}/mount/file")
    pulse.look()
    assert pulse.wrong == 1


def life(memory_bytes: list[int], files: list[int]) -> Life:
    samples = [(60.0 + 2 * number, *each) for number, each in enumerate(zip(memory_bytes, files, strict=True))]
    return Life(0, samples)


def test_growth_is_told_from_what_comes_and_goes() -> None:
    count = 90
    steady = life([100 * MIB + (number % 7) * MIB for number in range(count)], [40] * count)
    assert steady.grown() == ""
    assert "memory" in life([100 * MIB + number * MIB for number in range(count)], [40] * count).grown()
    assert "descriptors" in life([100 * MIB] * count, [40 + number * GROWTH_FILES // 10 for number in range(count)]).grown()
    assert life([1 * MIB, 900 * MIB], [1, 1]).grown() == "", "too short to tell"
