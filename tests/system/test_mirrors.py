"""A node with mirrors: mounts read from them, and go on without them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import MIB
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("mirrored", seed=11).model("weights.bin", 4 * MIB).docs("README.md", b"# mirrored\n").build()


@pytest.fixture
def mirror() -> Iterator[tuple[MemoryRegistry, RegistryServer]]:
    registry = MemoryRegistry()
    with serve(registry) as server:
        yield registry, server


@pytest.mark.parametrize("told_by", ["hosts.toml", "registries.conf"])
def test_a_mount_reads_from_the_mirror_and_goes_on_without_it(
    registry: MemoryRegistry,
    server: RegistryServer,
    mirror: tuple[MemoryRegistry, RegistryServer],
    kit: Kit,
    shell: Shell,
    told_by: str,
) -> None:
    for each in (registry, mirror[0]):
        each.push("team/kit", "1", kit.manifest, kit.blobs)
    options: list[str] = []
    if told_by == "hosts.toml":
        directory = shell.home / "hosts" / server.host
        directory.mkdir(parents=True)
        (directory / "hosts.toml").write_text(f'[host."{mirror[1].url}"]\n')
        options = ["--hosts-dir", str(shell.home / "hosts")]
    else:
        conf = shell.home / "xdg/config/containers/registries.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(f'[[registry]]\nlocation = "{server.host}"\n[[registry.mirror]]\nlocation = "{mirror[1].host}"\n')
    reference = f"{server.host}/team/kit:1"
    with shell.mounted(reference, *options) as mount:
        assert (mount.place / "README.md").read_bytes() == b"# mirrored\n"
        assert not registry.requests()
        mirror[0].faults.install(Fault(Match(), faults.Status(503)))
        assert wrong_files(mount.place, kit) == []
        assert registry.requests()
    registry.log.clear()
    assert shell.run("ls", reference, *options, "--no-mirrors", "--cache-dir", Path(shell.home / "other")).exit_code == 0
    assert registry.requests()


def test_a_blocked_registry_is_not_asked(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    conf = shell.home / "xdg/config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f'[[registry]]\nlocation = "{server.host}"\nblocked = true\n')
    ran = shell.run("ls", f"{server.host}/team/kit:1")
    assert (ran.exit_code, "is blocked by registries.conf" in ran.stderr, len(registry.log)) == (2, True, 0)
    assert str(conf) in ran.stderr
