"""What a far registry costs: the round trips that a mount has to wait for, one after the other."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mkfs.testing.access import Bearer
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.log import Served
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import KIB, MIB
from tests.support.mounting import Shell
from tests.support.waves import waves

pytestmark = pytest.mark.fuse

MANIFEST_CONFIG_LAYERS = 3
_END_SECONDS = 30


def kit_of_twenty_layers() -> Kit:
    """Six large tars, four small layers, ten raw shards: fewer requests than a client has connections."""
    builder = KitBuilder("twenty", seed=20).model("model-00.safetensors", 2 * MIB)
    for number in range(1, 6):
        builder.part(f"model-{number:02}.safetensors", 2 * MIB)
    for number in range(10):
        builder.part(f"shard-{number:02}.bin", MIB + 1 + number, raw=True)
    for number in range(4):
        builder.docs(f"doc-{number}.md", 3 * KIB + number)
    kit = builder.build()
    assert len(kit.layers) == 20
    return kit


@contextmanager
def mounting(shell: Shell, reference: str) -> Iterator[subprocess.Popen[str]]:
    """`mount`, which waits for a registry that is held; unmounted afterwards."""
    place = shell.new_place()
    with shell.start("mount", reference, place) as process:
        try:
            yield process
            _, stderr = process.communicate(timeout=_END_SECONDS)
            assert process.returncode == 0, stderr
        finally:
            process.kill()
            shell.run("umount", "--lazy", place)


def shown(found: list[tuple[Served, ...]]) -> str:
    """The waves for a message: a line each."""
    waves = [", ".join(f"{each.path} {each.range or 'whole'}" for each in wave) for wave in found]
    return "\n".join(f"{number}: {wave}" for number, wave in enumerate(waves, start=1))


def test_a_kit_of_twenty_layers_is_mounted_after_three_round_trips(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    kit = kit_of_twenty_layers()
    registry.push("team/twenty", "1", kit.manifest, kit.blobs)
    with mounting(shell, f"{server.host}/team/twenty:1") as process:
        found = waves(registry, lambda: process.poll() is not None, shell.is_busy)
    assert [each.path for each in found[0]] == ["/v2/team/twenty/manifests/1"]
    assert len(found) <= MANIFEST_CONFIG_LAYERS, shown(found)


def test_a_kit_of_a_hundred_files_is_mounted_after_five_round_trips(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    """A layer each, which takes one request each: two and a half times as many as a client has connections."""
    builder = KitBuilder("hundred", seed=100).model("model-000.safetensors", 2 * MIB)
    for number in range(1, 100):
        builder.part(f"model-{number:03}.safetensors", 2 * MIB)
    kit = builder.build()
    registry.push("team/hundred", "1", kit.manifest, kit.blobs)
    with mounting(shell, f"{server.host}/team/hundred:1") as process:
        found = waves(registry, lambda: process.poll() is not None, shell.is_busy)
    assert len(found) <= MANIFEST_CONFIG_LAYERS + 2, shown(found)
    assert sum(map(len, found)) == 1 + 1 + 100, shown(found)


def test_a_token_costs_the_refusal_and_the_token_and_nothing_more(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    kit = kit_of_twenty_layers()
    registry.push("team/twenty", "1", kit.manifest, kit.blobs)
    registry.access = Bearer(TokenIssuer(anonymous=True))
    with mounting(shell, f"{server.host}/team/twenty:1") as process:
        found = waves(registry, lambda: process.poll() is not None, shell.is_busy)
    paths = [{each.path for each in wave} for wave in found]
    assert "/token" in paths[1], shown(found)
    assert len(found[2:]) <= MANIFEST_CONFIG_LAYERS, shown(found)
    assert {each.status for wave in found[2:] for each in wave} <= {200, 206}, shown(found)


def test_each_further_large_entry_of_a_layer_costs_one_more(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    entries = 4
    shards = Directory({f"shard-{number}.bin": 2 * MIB for number in range(entries)})
    kit = KitBuilder("shards", seed=3).model("model", shards).build()
    registry.push("team/shards", "1", kit.manifest, kit.blobs)
    with mounting(shell, f"{server.host}/team/shards:1") as process:
        found = waves(registry, lambda: process.poll() is not None, shell.is_busy)
    assert len(found[MANIFEST_CONFIG_LAYERS - 1 :]) <= entries, shown(found)


def test_the_second_mount_asks_for_the_manifest_only(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = kit_of_twenty_layers()
    registry.push("team/twenty", "1", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/twenty:1"
    with shell.mounted(reference) as mount:
        for path in mount.place.iterdir():
            path.read_bytes()
        mount.umount()
        mount.place.rmdir()
    registry.log.clear()
    with mounting(shell, reference) as process:
        found = waves(registry, lambda: process.poll() is not None, shell.is_busy)
    assert [[each.path for each in wave] for wave in found] == [["/v2/team/twenty/manifests/1"]], shown(found)
