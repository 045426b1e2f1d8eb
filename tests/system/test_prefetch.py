"""What a mount fetches before somebody reads it, as its options say."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Mount, Shell

pytestmark = pytest.mark.fuse
_HELD_SECONDS = 30


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("llama", seed=14)
    for number in range(1, 4):
        builder.raw(f"model-{number:05}-of-00003.safetensors", 3 * MIB)
    return builder.build()


@contextmanager
def mounted(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, *options: str
) -> Iterator[tuple[Mount, Stall]]:
    """A mount, and what holds up the third shard."""
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    held = Stall(after_bytes=MIB)
    registry.faults.install(Fault(Match(digest=kit.layers[2].digest), held))
    with shell.mounted(f"{server.host}/team/llama:7b", *options) as mount:
        try:
            yield mount, held
        finally:
            held.release()


def read_two(mount: Mount) -> None:
    for number in (1, 2):
        assert len((mount.place / f"model-{number:05}-of-00003.safetensors").read_bytes()) == 3 * MIB


def test_the_third_shard_comes_when_two_were_read(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    with mounted(registry, server, kit, shell) as (mount, held):
        read_two(mount)
        assert held.gate.wait_until_held(1, timeout_seconds=_HELD_SECONDS)


@pytest.mark.parametrize("prefetch", ["none", "sequential"])
def test_or_does_not(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, prefetch: str) -> None:
    with mounted(registry, server, kit, shell, "--prefetch", prefetch) as (mount, _):
        read_two(mount)
    assert registry.bytes_sent(kit.layers[2].digest) == 0


def test_everything_comes_by_itself_where_that_is_wanted(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    with mounted(registry, server, kit, shell, "--fill") as (_, held):
        assert held.gate.wait_until_held(1, timeout_seconds=_HELD_SECONDS)
    assert [registry.bytes_sent(layer.digest) for layer in kit.layers[:2]] == [3 * MIB, 3 * MIB]
