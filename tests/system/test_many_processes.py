"""Two and eight daemons over one cache, thirty-two in `scripts/faults`; `scripts/many-processes` has more bytes, and a table.

Real mounts, and the product's own patience with who is stopped: ten seconds in each of those two cells.
"""

from pathlib import Path

import pytest

from mkfs.units import KIB, MIB
from tests.support.cells import CASES, Sizes, run

pytestmark = pytest.mark.fuse

SIZES = Sizes(first_bytes=2 * MIB, shared_bytes=54 * MIB, own_bytes=2 * MIB, held_bytes=256 * KIB)


@pytest.mark.fault("M")
@pytest.mark.parametrize("processes", [2, 8, pytest.param(32, marks=pytest.mark.long)], ids=lambda count: f"{count} processes")
@pytest.mark.parametrize("case", CASES)
def test_each_byte_comes_from_the_origin_once_and_every_process_reads_it_right(tmp_path: Path, case: str, processes: int) -> None:
    assert run(tmp_path, case, processes, SIZES).misses == []
