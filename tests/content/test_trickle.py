"""A registry that drips: whoever reads gets an error after a while, not bytes at the end of days. A slow one is waited for."""

import re
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.content.patience import GIVE_UP_SECONDS
from mkfs.errors import Unreachable
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.service.failures import sole
from mkfs.testing.faults import Fault, Match, Slow
from mkfs.testing.kits import KitBuilder
from mkfs.units import KIB, MIB
from tests.content.test_offline import World
from tests.support.kit_parts import content_of, layer_at

KIT = KitBuilder("llama", seed=9).model("weights.bin", 2 * MIB, raw=True).build()
TAG = Reference.parse("registry.test/team/llama:7b")


async def read_under(tmp_path: Path, bytes_per_second: float) -> tuple[bytes, float]:
    """All of the weights, and how many seconds that took."""
    world = World(tmp_path)
    world.registry.push(TAG.repository, TAG.tag, KIT.manifest, KIT.blobs)
    async with world.opened(TAG) as (_, artifact):
        digest = layer_at(KIT, "weights.bin").digest
        world.registry.faults.install(Fault(Match(method="GET", digest=digest), Slow(bytes_per_second)))
        [layer] = [each for each in artifact.layers if each.blob.digest == digest]
        began = trio.current_time()
        data = await layer.read(ByteRange(0, 2 * MIB))
        return bytes(data), trio.current_time() - began


@pytest.mark.parametrize("bytes_per_second", [1, 10, 300])
async def test_a_reader_of_a_layer_that_drips_gets_an_error(
    tmp_path: Path, autojump_clock: MockClock, bytes_per_second: float
) -> None:
    with pytest.raises((Unreachable, BaseExceptionGroup)) as raised:
        await read_under(tmp_path, bytes_per_second)
    error = sole(raised.value)
    assert isinstance(error, Unreachable)
    assert re.search(r"bytes in \d+ s \(expected at least 32768\)", error.what)  # 30 s, and what the clock jumped beyond them


async def test_a_slow_link_is_waited_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    data, seconds = await read_under(tmp_path, 4 * KIB)
    body = content_of(KIT, "weights.bin")
    assert data == body.read(ByteRange(0, 2 * MIB))
    assert seconds > 4 * GIVE_UP_SECONDS
