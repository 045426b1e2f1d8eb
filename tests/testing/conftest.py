"""A registry with one model, and the ways to reach it."""

from collections.abc import Iterator

import pytest

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from tests.support.carriers import Carrier, Memory, Sockets
from tests.support.little_model import BLOB, BODY, MANIFEST


@pytest.fixture
def registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    registry.push("team/model", "7b", MANIFEST, {BLOB: BODY})
    return registry


@pytest.fixture
def server(registry: MemoryRegistry) -> Iterator[RegistryServer]:
    with serve(registry) as server:
        yield server


@pytest.fixture(params=["sockets", "memory"])
def carrier(request: pytest.FixtureRequest, registry: MemoryRegistry) -> Carrier:
    return Memory(registry) if request.param == "memory" else Sockets(request.getfixturevalue("server"))
