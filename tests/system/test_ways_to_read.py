"""A cold file, read in every way that loaders read: right bytes, each fetched once, in as few requests as one reader needs."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import content_of, layer_at
from tests.support.mounting import Shell
from tests.support.ways import WAYS

pytestmark = pytest.mark.fuse

FILE_BYTES = 40 * MIB + 12_345  # two laps of a whole fetch, and an end that fits no block
LAPS = 2
ROOT = Path(__file__).resolve().parents[2]
_STUCK_SECONDS = 60  # after which a reader is taken to hang


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("ways", seed=21)
    for name in WAYS:
        builder.raw(name, FILE_BYTES)
    return builder.build()


def read(way: str, path: Path) -> str:
    """The sha256 of what came."""
    command = [sys.executable, "-m", "tests.support.ways", way, path]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=_STUCK_SECONDS, check=True)
    return done.stdout


@pytest.mark.fault("F")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.replace("_", " "))
def test_a_cold_file_comes_right_and_once(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, way: str
) -> None:
    registry.push("team/ways", "1", kit.manifest, kit.blobs)
    packed = sha256(content_of(kit, way).read(ByteRange(0, FILE_BYTES))).hexdigest()
    layer = layer_at(kit, way).digest
    with shell.mounted(f"{server.host}/team/ways:1") as mount:
        assert [read(way, mount.path(way)) for _ in range(2)] == [packed, packed]
    assert registry.bytes_sent(layer) == FILE_BYTES
    assert len(registry.requests(layer)) == LAPS
