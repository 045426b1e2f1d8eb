"""Artifacts of a repository that somebody goes into: opened once, sharing their layers, within bounds."""

import pytest
import trio

from mkfs.content.artifact import Artifact
from mkfs.content.layer import Layer
from mkfs.errors import FileSystemError, Mismatch, Unreachable
from mkfs.oci.digest import Digest
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Flip, Match, Status
from mkfs.testing.kits import Kit
from mkfs.units import MIB
from mkfs.vfs.forest import Planted
from tests.service.grove.world import WAIT, World, refusal


async def test_an_artifact_is_opened_once_whoever_comes(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    seen: list[tuple[Artifact, Planted]] = []
    async with world.grove() as grove:
        grove.on_opened = lambda artifact, planted: seen.append((artifact, planted))
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(world.enter, grove, digest)
        await world.enter(grove, digest)
        assert [artifact for artifact, _ in seen] == grove.artifacts
        assert [planted.digest for _, planted in seen] == [digest]
        assert world.asked().count(("GET", f"manifests/{digest}")) == 1


async def test_layers_that_artifacts_share_are_one_and_fetched_once(
    world: World, kits: tuple[Kit, Kit], monkeypatch: pytest.MonkeyPatch
) -> None:
    opens: list[Layer] = []
    really_open = Layer.open

    async def counted(layer: Layer) -> None:
        opens.append(layer)
        await really_open(layer)

    monkeypatch.setattr(Layer, "open", counted)
    first, second = (world.push(tag, kit) for tag, kit in zip("ab", kits, strict=True))
    async with world.grove() as grove:
        await world.enter(grove, first)
        await world.enter(grove, second)
        one, other = grove.artifacts
        shared = set(one.layers) & set(other.layers)
        (weights,) = shared
        assert weights.blob.size_bytes > MIB
        assert len(opens) == len(set(opens))
        assert len({*one.layers, *other.layers}) == len(one.layers) + len(other.layers) - 1
        for artifact in (one, other):
            for layer in artifact.layers:
                await layer.fill()
        assert world.registry.bytes_sent(weights.blob.digest) <= weights.blob.size_bytes + MIB  # headers, before its proof
        before = world.registry.bytes_sent()
        await weights.verify()
        assert world.registry.bytes_sent() == before


async def test_what_is_not_there_or_not_whole_is_told_apart(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    async with world.grove() as grove:
        assert await refusal(world.enter, grove, Digest.of(b"nothing")) == "ENOENT"
        lost = world.registry.faults.install(Fault(Match(path="/blobs/"), Status(404)))
        with pytest.raises(Exception, match="not found") as caught:
            await world.enter(grove, digest)
        assert not isinstance(caught.value, FileSystemError)
        world.registry.faults.mend(lost)
        await world.enter(grove, digest)  # nothing is remembered of it


async def test_wrong_bytes_are_no_verdict_of_the_policy(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    world.registry.faults.install(Fault(Match(digest=digest), Flip(3)))
    async with world.grove() as grove:
        with pytest.raises(Mismatch):
            await world.enter(grove, digest)


async def test_who_waits_too_long_gets_an_error_and_the_artifact_is_opened_all_the_same(
    world: World, kits: tuple[Kit, Kit]
) -> None:
    digest = world.push("7b", kits[0])
    held = faults.Withhold()
    world.registry.faults.install(Fault(Match(method="GET", digest=digest), held))
    async with world.grove() as grove, trio.open_nursery() as nursery:
        errors: list[Exception] = []

        async def wait() -> None:
            try:
                with trio.fail_after(WAIT / 30):
                    await world.enter(grove, digest)
            except trio.TooSlowError as error:
                errors.append(error)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        world.clock.jump(WAIT / 30)
        await trio.testing.wait_all_tasks_blocked()
        assert len(errors) == 1
        held.release()
        await world.enter(grove, digest)
        assert world.asked().count(("GET", f"manifests/{digest}")) == 1


async def test_the_wait_for_an_artifact_has_an_end(world: World, kits: tuple[Kit, Kit], monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: object, **_more: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("mkfs.service.grove.open_artifact", never)
    async with world.grove() as grove:
        world.clock.autojump_threshold = 0
        before = trio.current_time()
        with pytest.raises(Unreachable, match="300 s"):
            await world.enter(grove, kits[0].manifest_digest)
        assert trio.current_time() - before == WAIT


@pytest.mark.logs("shows 1 artifacts already")
async def test_a_mount_shows_so_many_artifacts_and_says_so(
    world: World, kits: tuple[Kit, Kit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mkfs.service.grove.ARTIFACTS_LIMIT", 1)
    first, second = (world.push(tag, kit) for tag, kit in zip("ab", kits, strict=True))
    async with world.grove() as grove:
        await world.enter(grove, first)
        assert await refusal(world.enter, grove, second) == "ENFILE"
        await world.enter(grove, first)
