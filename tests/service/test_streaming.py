"""Somebody waits while compressed layers are streamed: how far they are is shown, and the wait may have an end. Time is trio's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from mkfs.content.describing import Terms
from mkfs.errors import NotFound, Unreachable
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.service.opening import Means
from mkfs.service.progress import Progress, Showing
from mkfs.service.streaming import open_shown
from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.units import MIB
from tests.support.layers import engine_at

REFERENCE = Reference.parse("registry.test/team/llama:7b")


def kit_of(compression: str = "gzip") -> Kit:
    return KitBuilder("llama", seed=3, compression=compression).model("w.bin", 3 * MIB).part("lora", 2 * MIB, raw=True).build()


@asynccontextmanager
async def means_of(root: Path, kit: Kit) -> AsyncGenerator[tuple[Means, MemoryRegistry], None]:
    registry = MemoryRegistry()
    registry.push(REFERENCE.repository, REFERENCE.tag, kit.manifest, kit.blobs)
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport({"registry.test": registry}))
    async with client, engine_at(root / "cache") as engine:
        yield Means(REFERENCE, client.repository(REFERENCE), engine, Terms(), client), registry


async def test_how_far_the_layers_are_is_shown_until_they_are_here(tmp_path: Path, autojump_clock: MockClock) -> None:
    kit, moments = kit_of(), []
    async with means_of(tmp_path, kit) as (means, registry):
        gate = Stall(after_bytes=MIB)
        registry.faults.install(Fault(Match(digest=kit.layers[0].digest), gate))

        def show(moment: Progress) -> None:
            moments.append(moment)
            gate.release()  # at the first: the clock jumps while threads work, and might reach the stall's end before them

        artifact = await open_shown(means, Showing(show, 10))
        assert all(layer.published for layer in artifact.layers)
        artifact.close()
        shown = len(moments)
        await trio.sleep(60)
        assert len(moments) == shown
    stored_bytes = sum(layer.body.size_bytes for layer in kit.layers)
    assert {(moment.size_bytes, moment.layers) for moment in moments} == {(stored_bytes, 2)}
    assert [moment.done_bytes for moment in moments] == sorted(moment.done_bytes for moment in moments)


async def test_nothing_is_shown_of_what_need_not_be_streamed(tmp_path: Path, autojump_clock: MockClock) -> None:
    def never(_moment: Progress) -> None:
        raise AssertionError("there was nothing to show")

    kit = kit_of()
    async with means_of(tmp_path, kit) as (means, _):
        (await open_shown(means, None)).close()
        (await open_shown(means, Showing(never, 0.001))).close()
    plain, gate = kit_of(""), Stall()
    async with means_of(tmp_path, plain) as (means, registry):
        registry.faults.install(Fault(Match(digest=plain.layers[0].digest), gate))

        async def release() -> None:
            await trio.sleep(15)
            gate.release()

        means.engine.nursery.start_soon(release)
        (await open_shown(means, Showing(never, 1))).close()


async def test_the_wait_ends_when_it_should_and_says_what_it_waited_for(tmp_path: Path, mock_clock: MockClock) -> None:
    kit, gate = kit_of(), Stall(after_bytes=MIB)
    async with means_of(tmp_path, kit) as (means, registry):
        registry.faults.install(Fault(Match(digest=kit.layers[0].digest), gate))

        async def jump() -> None:
            while not gate.gate.waiting:
                await trio.lowlevel.checkpoint()
            mock_clock.jump(20)

        means.engine.nursery.start_soon(jump)
        with pytest.raises(
            Unreachable, match=r"not ready after 20 s: [0-9.]+ MiB of 5\.0 MiB of compressed layers were here"
        ) as caught:
            await open_shown(means, timeout_seconds=20)
        assert f"mkfs warmup {REFERENCE}" in caught.value.hint
    assert list((tmp_path / "cache" / "staging").iterdir()) == []


async def test_also_where_nothing_is_compressed(tmp_path: Path, autojump_clock: MockClock) -> None:
    kit = kit_of("")
    async with means_of(tmp_path, kit) as (means, registry):
        registry.faults.install(Fault(Match(path="/manifests/"), Stall()))
        with pytest.raises(Unreachable, match=r"^not ready after 5\.0 s \("):
            await open_shown(means, timeout_seconds=5)


async def test_errors_come_as_they_are(tmp_path: Path) -> None:
    async with means_of(tmp_path, kit_of()) as (means, registry):
        registry.repositories.clear()
        with pytest.raises(NotFound):
            await open_shown(means, Showing(lambda _moment: None, 1), timeout_seconds=60)
