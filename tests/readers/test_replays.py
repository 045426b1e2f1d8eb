"""Engines that need a GPU: their way of reading, replayed over a mounted model; every byte that comes is compared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.model import model_files
from bench.ways import WAYS
from mkfs.ranges import ByteRange
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.readers.catalogue import REPLAYS
from tests.readers.conftest import Models
from tests.readers.running import replay
from tests.readers.trial import tried
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse


def test_every_way_is_replayed() -> None:
    assert {way for each in REPLAYS.values() for way in each.ways} == set(WAYS)


@pytest.mark.parametrize("way", ["a1-8", "e-8"])
def test_a_wrong_byte_is_told_with_its_place(tmp_path: Path, way: str) -> None:
    places = [tmp_path / "right", tmp_path / "wrong"]
    for place in places:
        place.mkdir()
        for name, body in model_files(MIB).items():
            (place / name).write_bytes(body.read(ByteRange(0, body.size_bytes)))
    (damaged,) = places[1].glob("model-00003-*.safetensors")
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    (found,) = replay((way,), places[1], places[0])
    (told,) = found["wrong"]
    assert told.startswith(f"{damaged.name} at ")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if each.ordinary else [pytest.mark.given("READERS")]) for name, each in REPLAYS.items()],
)
def test_an_engine_s_way_of_reading_gets_right_bytes_and_each_once(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, models: Models, name: str, record_property: Callable[..., None]
) -> None:
    engine = REPLAYS[name]
    directory, kit = models("shards")
    registry.push("team/model", "1", kit.manifest, kit.blobs)
    expected = replay(engine.ways, directory, directory)
    assert [each["wrong"] for each in expected] == [[] for _ in engine.ways]

    def once(place: Path) -> list[dict[str, object]]:
        return replay(engine.ways, place, directory)

    trial = tried(shell, registry, f"{server.host}/team/model:1", kit, once, expected)
    record_property("replays", [engine.engine, ", ".join(engine.ways), *trial.cells()])
