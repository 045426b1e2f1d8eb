"""Real libraries read a mounted model: what they say of the directory that was packed they say of it, cold, warm and anew."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.readers.catalogue import READERS, Home
from tests.readers.conftest import Models
from tests.readers.running import read
from tests.readers.trial import tried
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse


def _marked() -> Iterator[object]:
    for name, reader in READERS.items():
        variables = {Home.READERS, reader.home} if reader.home else set()
        yield pytest.param(name, marks=[pytest.mark.given(str(variable)) for variable in sorted(variables)])


@pytest.mark.parametrize("name", list(_marked()))
def test_a_reader_gets_from_the_mount_what_it_gets_from_the_directory(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, models: Models, name: str, record_property: Callable[..., None]
) -> None:
    reader = READERS[name]
    directory, kit = models(reader.model)
    registry.push("team/model", "1", kit.manifest, kit.blobs)
    original = read(reader, directory)
    assert original.said

    def once(place: Path) -> dict[str, str]:
        return read(reader, place).said

    trial = tried(shell, registry, f"{server.host}/team/model:1", kit, once, original.said)
    library = f"{reader.library} {original.version}"
    record_property("readers", [library, reader.model, reader.way, *trial.cells()])
