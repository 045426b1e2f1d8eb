"""What a repository shows without its registry, and at the end of the mount."""

from functools import partial

import pytest
import trio

from mkfs.cache.resolutions import Resolutions
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit
from tests.service.grove.world import World, refusal


async def test_offline_a_tag_means_what_it_meant_when_its_artifact_was_seen(world: World, kits: tuple[Kit, Kit]) -> None:
    first, second = world.push("7b", kits[0]), world.push("8b", kits[1])
    async with world.grove() as grove:
        await grove.target("7b")
        await world.enter(grove, first)
        await world.enter(grove, second)
        await grove.target("8b")
        for artifact in grove.artifacts:
            for layer in artifact.layers:
                await layer.fill()
    world.asked()
    async with world.grove(offline=True) as grove:
        assert await grove.tags() == []
        assert (await grove.target("7b"), await grove.target("8b")) == (first, second)
        assert await grove.tags() == ["7b", "8b"]
        assert await refusal(grove.target, "9b") == "ENOENT"
        await world.enter(grove, first)
        assert await refusal(world.enter, grove, Digest.of(b"nothing")) == "ENOENT"
    assert world.asked() == []


async def test_what_a_tag_means_is_written_down_when_that_is_news(
    world: World, kits: tuple[Kit, Kit], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Digest] = []
    really_remember = Resolutions.remember

    def remember(resolutions: Resolutions, reference: Reference, manifest: Proven, *more: object) -> None:
        really_remember(resolutions, reference, manifest, *more)
        if reference.tag is not None:
            written.append(manifest.digest)

    monkeypatch.setattr(Resolutions, "remember", remember)
    first, second = world.push("7b", kits[0]), world.push(None, kits[1])
    async with world.grove(ttl=0) as grove:
        await grove.target("7b")
        assert written == []  # nobody went inside: there is no manifest to keep
        await world.enter(grove, first)
        await world.enter(grove, second)
        for kit, so_far in ((kits[0], [first]), (kits[1], [first, second])):
            world.push("7b", kit)
            for _ in range(3):
                await grove.target("7b")
            assert written == so_far


async def test_the_end_of_the_mount_ends_all_waits(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    held = faults.Withhold()
    world.registry.faults.install(Fault(Match(path="/manifests/|/tags/"), held))
    with trio.CancelScope() as mount:
        async with world.grove() as grove, trio.open_nursery() as nursery:
            for work in (partial(grove.target, "7b"), grove.tags, partial(grove.plant, digest, world.forest.reserve(3))):
                nursery.start_soon(work)
            await trio.testing.wait_all_tasks_blocked()
            assert held.gate.waiting == 3
            mount.cancel()
    assert held.gate.waiting == 0
