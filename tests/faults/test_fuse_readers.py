"""Who reads a mount in ways that a file system must bear, and a network that goes under it: every byte right, or an error."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import KIB, MIB
from tests.faults.conftest import drop_cached
from tests.faults.crowd import Crowd
from tests.faults.machine import Remote, remote, until
from tests.faults.oracle import attempt, read
from tests.support.mounting import Mount, Shell
from tests.support.networks import Network

pytestmark = [pytest.mark.fuse, pytest.mark.fault("F")]

WEIGHTS = "weights.bin"
GIVEN_UP_SECONDS = 150  # longer than the 60 s without a byte, and what a try may take


@pytest.fixture(scope="module")
def kit() -> Kit:
    programs = Directory({name: File(Path(shutil.which(name) or "").read_bytes(), 0o755) for name in ("cat", "sh")})
    builder = KitBuilder("readers", seed=42).model(WEIGHTS, 8 * MIB + 77, raw=True).code("bin", programs)
    return builder.part("tokenizer.json", 2 * MIB + 5, raw=True).docs("README.md", b"# r\n").build()


# --- programs


@pytest.fixture
def here(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> Remote:
    return remote(registry, server, kit)


FORKING = 'for name in weights.bin tokenizer.json; do ./bin/cat "$name" & wait $!; done; (exec ./bin/cat README.md)'


def test_a_program_on_the_mount_forks_and_executes_others_there(here: Remote, shell: Shell) -> None:
    with shell.mounted(here.reference) as mount:
        for _ in range(2):  # from the registry, and from the cache
            done = subprocess.run(["./bin/sh", "-c", FORKING], cwd=mount.place, capture_output=True, timeout=60, check=True)
            assert done.stdout == here.files[WEIGHTS] + here.files["tokenizer.json"] + here.files["README.md"]
            drop_cached(mount.place)
        here.reads_right(shell, mount)


# --- descriptors


@pytest.mark.parametrize("layers", [16, 60])
def test_64_descriptors_for_layers_that_are_read_at_once(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, layers: int
) -> None:
    """Each layer in use keeps one. Its files are closed when others need theirs; sixty are too many all the same."""
    builder = KitBuilder("many", seed=43)
    for number in range(layers):
        builder.raw(f"{number}.bin", MIB + 64 * KIB + number)
    many = remote(registry, server, builder.build())
    place = shell.new_place()
    ran = shell.run("mount", many.reference, place, around=["prlimit", "--nofile=64:64"])
    assert ran.exit_code == 0, ran
    (daemon,) = shell.processes()
    mount = Mount(shell, place, ran, daemon)
    try:
        command = ["xargs", "--max-procs=32", "--max-args=1", "cat"]
        subprocess.run(command, cwd=place, input="\n".join(many.files).encode(), capture_output=True, timeout=60, check=False)
        drop_cached(place)
        errors = read(shell, place, many.files)
        assert set(errors.values()) <= ({"EIO"} if layers == 60 else set())
        assert "Too many open files" in mount.log_file.read_text()
        mount.umount()
    finally:
        mount.end()
    many.is_right_afterwards(shell, mount)  # without that limit


# --- a network that goes


@pytest.fixture
def network() -> Iterator[Network]:
    with Network.made() as network:
        yield network


@pytest.fixture
def within(network: Network, kit: Kit) -> Iterator[Remote]:
    """A registry that is only in that network."""
    registry = MemoryRegistry()
    with network.inside():
        serving = serve(registry)
        server = serving.__enter__()
    try:
        yield remote(registry, server, kit)
    finally:
        network.up()
        with network.inside():
            serving.__exit__(None, None, None)


def mounted_inside(network: Network, within: Remote, shell: Shell) -> Mount:
    with network.inside():
        return shell.mount(within.reference)


def test_a_network_that_goes_and_comes_back(network: Network, within: Remote, shell: Shell) -> None:
    mount = mounted_inside(network, within, shell)
    try:
        assert read(shell, mount.place, {"tokenizer.json": within.files["tokenizer.json"]}) == {}
        network.down()
        drop_cached(mount.place)
        warm = {path: data for path, data in within.files.items() if path != WEIGHTS}
        assert read(shell, mount.place, warm) == {}  # all of it is here
        crowd = Crowd.reading(mount.path(WEIGHTS), within.files[WEIGHTS], 8, shell.home)
        until(lambda: mount.requests_waiting() > 0)
        network.up()
        assert crowd.errors() == {}
        within.reads_right(shell, mount)
    finally:
        network.up()
        mount.end()


@pytest.mark.long  # a minute without a byte
def test_a_network_that_goes_for_good(network: Network, within: Remote, shell: Shell) -> None:
    mount = mounted_inside(network, within, shell)
    try:
        network.down()
        done = subprocess.run(["cat", mount.path(WEIGHTS)], capture_output=True, timeout=GIVEN_UP_SECONDS, check=False)
        assert done.stderr.endswith(b": Input/output error\n")
        assert within.files[WEIGHTS].startswith(done.stdout)
        assert read(shell, mount.place, {"README.md": within.files["README.md"]}) == {}
        network.up()
        until(lambda: read(shell, mount.place, within.files) == {})  # what nobody answered is not asked again at once
        within.reads_right(shell, mount)
    finally:
        network.up()
        mount.end()


@pytest.mark.long  # half a minute until nobody is asked any more
def test_no_network_at_all(network: Network, within: Remote, shell: Shell) -> None:
    assert attempt(shell, within.reference, {}).exit_code != 0  # the registry is not on this side
    with network.inside():
        assert attempt(shell, within.reference, within.files).errors == {}
        network.down()
        assert attempt(shell, f"{within.reference.removesuffix(':1')}@{within.kit.manifest_digest}", within.files).errors == {}
    assert os.listdir(shell.cache / "staging") == []
