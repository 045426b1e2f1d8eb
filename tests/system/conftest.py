"""What the system tests share: real registries, filled once, and somebody at a prompt for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from tests.support import golden
from tests.support.docker_registry import DockerRegistry, running
from tests.support.mounting import Shell
from tests.support.pushing import Pusher

GOLDEN_REPOSITORY = "golden/kits"


@pytest.fixture(scope="session")
def docker(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Debian's registry, for everybody: tests push under names of their own and mend what they damage."""
    with running(docker_registry, tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def pusher(docker: DockerRegistry) -> Iterator[Pusher]:
    """A way into that registry."""
    pusher = Pusher(docker.host)
    yield pusher
    pusher.close()


@pytest.fixture(scope="session")
def golden_host(docker: DockerRegistry, pusher: Pusher) -> str:
    """That registry's `host`, with all that real tools packed in `golden/kits`, a tag for each."""
    for name in golden.names():
        blobs = {Digest.parse(digest): data for digest, data in golden.blobs(name).items()}
        del blobs[Digest.parse(golden.manifest_digest(name))]
        pusher.push(GOLDEN_REPOSITORY, name, golden.manifest_bytes(name), blobs)
    return docker.host


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Somebody at a prompt. A test that leaves a mount or a process behind fails."""
    shell = Shell(tmp_path / "home")
    yield shell
    if not shell.is_tidy():
        left = f"left behind: mounts {shell.mounts()}, processes {shell.processes()}"
        shell.tidy_up()
        pytest.fail(left, pytrace=False)


@pytest.fixture
def registry() -> MemoryRegistry:
    """A registry in this process, to count at and to hold back; see `server`."""
    return MemoryRegistry()


@pytest.fixture
def server(registry: MemoryRegistry) -> Iterator[RegistryServer]:
    """Its sockets."""
    with serve(registry) as server:
        yield server
