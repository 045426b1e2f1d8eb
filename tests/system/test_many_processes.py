"""Two and eight daemons over one cache, thirty-two in `scripts/faults`; `scripts/many-processes` has more bytes, and a table.

Real mounts, and the product's own patience with who is stopped: ten seconds in each of those two cells.
"""

from pathlib import Path

import pytest

from mkfs.units import KIB, MIB
from tests.support.cells import CASES, Sizes, misspoken, run

pytestmark = pytest.mark.fuse

SIZES = Sizes(first_bytes=2 * MIB, shared_bytes=54 * MIB, own_bytes=2 * MIB, held_bytes=256 * KIB)
# Each process asks for its manifest, and for the headers of a layer that nobody has proven yet: 50 KiB, which many of them would
# make more than a hundredth or two of so little.
LARGER = Sizes(first_bytes=2 * MIB, shared_bytes=92 * MIB, own_bytes=2 * MIB, held_bytes=256 * KIB)


@pytest.mark.fault("M")
@pytest.mark.parametrize(
    ("case", "processes"),
    [
        pytest.param(case, processes, id=f"{case}, {processes} processes", marks=[pytest.mark.long] if processes > 8 else [])
        for case in CASES
        for processes in (2, 8, 32)
    ],
)
def test_each_byte_comes_from_the_origin_once_and_every_process_reads_it_right(tmp_path: Path, case: str, processes: int) -> None:
    assert run(tmp_path, case, processes, LARGER if processes > 8 else SIZES).misses == []


def test_a_traceback_in_a_log_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "mnt1.log").write_text("all is well\n")
    (tmp_path / "mnt2.log").write_text("Traceback (most recent call last):\n")
    (found,) = misspoken(tmp_path)
    assert found.startswith("TracebackShown: mnt2.log: ")
