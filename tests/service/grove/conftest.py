"""What each test of a grove starts from."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.testing.kits import Kit, KitBuilder
from mkfs.units import MIB
from tests.service.grove.world import World


@pytest.fixture(scope="module")
def kits() -> tuple[Kit, Kit]:
    """Two kits that share their weights."""
    return tuple(
        KitBuilder(name, seed=3).model("model.bin", 2 * MIB + 7).docs("README.md", name.encode()).build() for name in ("a", "b")
    )


@pytest.fixture
def world(tmp_path: Path, mock_clock: MockClock) -> World:
    return World(tmp_path, mock_clock)
