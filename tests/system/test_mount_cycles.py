"""Mounted and unmounted twenty times: nothing is left, nothing grows. `scripts/mount-cycles` does it a thousand times."""

import pytest

from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.cycles import WAYS, run
from tests.support.mounting import Shell

pytestmark = [pytest.mark.fuse, pytest.mark.fault("F")]

CYCLES = {"background": 16, "foreground": 4}


@pytest.mark.parametrize("way", WAYS)
def test_twenty_mounts_leave_nothing(registry: MemoryRegistry, server: RegistryServer, shell: Shell, way: str) -> None:
    kit = KitBuilder("cycles", seed=1).model("weights.bin", 2 * MIB).docs("README.md", b"# again\n").build()
    registry.push("life/cycles", "1", kit.manifest, kit.blobs)
    report = run(shell, registry, f"{server.host}/life/cycles:1", kit, way, CYCLES[way])
    assert (report.cycles, report.misses) == (CYCLES[way], [])
