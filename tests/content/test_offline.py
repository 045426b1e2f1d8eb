"""Mounting without the registry, and who may be served what the cache holds.

All of it against a registry in memory: `hosts` is the network, and a registry is gone when it is not in there.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.describing import describe
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.errors import MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import prove
from mkfs.ranges import ByteRange
from mkfs.registry import retries
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.service.failures import sole
from mkfs.testing.answers import Answer, Request
from mkfs.testing.faults import Fault, Match, Status
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.refusals import refusal
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.tree.nodes import File
from mkfs.units import MIB
from tests.cache.material import flip
from tests.support.layers import LARGE, Everybody, engine_at, layer_of

TAG = Reference.parse("registry.test/team/llama:7b")
OTHER = Reference.parse("registry.test/eve/borrowed:1")


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("llama", seed=7).model("weights", Directory({"a.safetensors": 2 * MIB, "b.safetensors": MIB + 1}))
    return builder.part("raw.bin", MIB + 5, raw=True).docs("README.md", b"hello").build()


@dataclass
class World:
    """A machine with a cache, and a network with one registry."""

    root: Path
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    gone: bool = False

    @asynccontextmanager
    async def opened(
        self, reference: Reference, *, offline: bool = False, names_only: bool = False
    ) -> AsyncGenerator[tuple[Engine, Artifact], None]:
        hosts = {} if self.gone else {"registry.test": self.registry}
        client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(hosts))
        async with client, engine_at(self.root / "cache") as engine:
            repository = None if offline else client.repository(reference)
            artifact = await open_artifact(engine, repository, reference, names_only=names_only)
            try:
                yield engine, artifact
            finally:
                artifact.close()
                if offline:
                    assert client.statistics().requests == 0

    async def warm(self, reference: Reference) -> dict[bytes, bytes]:
        """Reads everything, and forgets what was asked for it."""
        async with self.opened(reference) as (_, artifact):
            content = await read_all(artifact)
        self.registry.log.clear()
        return content

    async def refused(self, reference: Reference, *, offline: bool = False, names_only: bool = False) -> MkfsError:
        try:
            async with self.opened(reference, offline=offline, names_only=names_only):
                pass
        except BaseException as error:
            found = sole(error)
            if found is None:
                raise
            return found
        raise AssertionError("it was opened")

    def asked(self) -> list[tuple[str, str, int]]:
        """Method, what for, and answer of all requests since the registry's log was cleared."""
        return [(served.method, served.path.rsplit("/", 2)[1], served.status) for served in self.registry.log]


@pytest.fixture
def world(tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> World:
    """Who is gone stays away, however long a client waits before it asks again."""
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0)
    world = World(tmp_path)
    world.registry.push(TAG.repository, TAG.tag, kit.manifest, kit.blobs)
    return world


async def read_all(artifact: Artifact) -> dict[bytes, bytes]:
    content = {}
    for path, node in artifact.tree.walk():
        if isinstance(node, File):
            parts: Sequence[bytes] = [node.data]
            if node.layer is not None:
                layer, extents = artifact.layers[node.layer], node.extents
                parts = [bytes(await layer.read(ByteRange(at.layer_offset, at.layer_offset + at.length))) for at in extents]
            content[path] = b"".join(parts)
    return content


def pinned(kit: Kit) -> Reference:
    return replace(TAG, tag=None, digest=kit.manifest_digest)


# --- without the registry


async def test_a_digest_is_mounted_when_the_registry_is_gone_and_all_is_cached(world: World, kit: Kit) -> None:
    content = await world.warm(TAG)
    world.gone = True
    for reference in (pinned(kit), TAG.pinned(kit.manifest_digest)):
        async with world.opened(reference) as (_, artifact):
            assert await read_all(artifact) == content
            (notice,) = artifact.notices
            assert notice.startswith("no answer") or "registry.test" in notice
            assert notice.endswith(f"; from the cache: {reference}")


async def test_a_tag_is_not_guessed_when_the_registry_is_gone(world: World) -> None:
    await world.warm(TAG)
    world.gone = True
    error = await world.refused(TAG)
    assert isinstance(error, Unreachable)
    assert "--offline" in error.hint


async def test_a_tag_never_seen_here_is_simply_unreachable(world: World) -> None:
    world.gone = True
    error = await world.refused(TAG)
    assert isinstance(error, Unreachable)
    assert "--offline" not in error.hint


async def test_a_digest_that_is_not_all_cached_says_what_is_lacking(world: World, kit: Kit) -> None:
    async with world.opened(TAG):
        pass  # small layers only
    world.gone = True
    error = await world.refused(pinned(kit))
    assert isinstance(error, Unreachable)
    assert "lacks 2 of 3 layers (model" in error.hint


async def test_a_registry_that_refuses_is_not_gone(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    world.registry.access = Closed()
    assert isinstance(await world.refused(pinned(kit)), NotAuthorised)
    del world.registry.repositories[TAG.repository]
    world.registry.access = MemoryRegistry().access
    assert isinstance(await world.refused(pinned(kit)), NotFound)


async def test_offline_asks_nobody_and_says_how_old_the_tag_is(world: World, kit: Kit) -> None:
    content = await world.warm(TAG)
    manifest = prove(Descriptor("", kit.manifest_digest, len(kit.manifest)), kit.manifest)
    async with engine_at(world.root / "cache") as engine:
        engine.cache.resolutions.remember(TAG, manifest, "", time.time() - (3 * 60 + 20) * 60)
    async with world.opened(TAG, offline=True) as (_, artifact):
        assert await read_all(artifact) == content
        assert artifact.notices == ("offline: registry.test/team/llama:7b as of 3 h 20 min ago",)
        assert artifact.description.resolved_at is not None
    assert world.asked() == []


async def test_offline_a_tag_is_what_it_was_last_even_if_it_has_moved(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    other = KitBuilder("llama", seed=8).docs("NEW.md", b"new").build()
    world.registry.push(TAG.repository, TAG.tag, other.manifest, other.blobs)
    async with world.opened(TAG, offline=True) as (_, artifact):
        assert artifact.description.digest == kit.manifest_digest


async def test_offline_a_digest_needs_no_age(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    async with world.opened(pinned(kit), offline=True) as (_, artifact):
        assert artifact.notices == (f"offline: {pinned(kit)}",)


async def test_offline_what_is_lacking_is_named_at_once(world: World, autojump_clock: MockClock) -> None:
    error = await world.refused(TAG, offline=True)
    assert isinstance(error, NotFound)
    assert "lacks its manifest" in error.what
    async with world.opened(TAG):
        pass
    error = await world.refused(TAG, offline=True)
    assert isinstance(error, NotFound)
    assert "lacks 2 of 3 layers" in error.what
    assert f"mkfs warmup {TAG}" in error.hint


async def test_offline_inspection_needs_the_documents_only(world: World, kit: Kit) -> None:
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(world.registry))
    async with client, engine_at(world.root / "cache") as engine:
        await describe(engine, client.repository(TAG), TAG)
        asked = len(world.registry.log.requests())
        description = await describe(engine, None, TAG)
        assert (description.digest, len(description.plan.layers)) == (kit.manifest_digest, 3)
        assert len(world.registry.log.requests()) == asked
        assert len(description.notices) == 1


def listed(artifact: Artifact) -> list[tuple[bytes, int]]:
    return [(path, node.size_bytes) for path, node in artifact.tree.walk() if isinstance(node, File)]


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "gone"])
async def test_names_are_listed_without_the_registry_and_without_the_bytes(world: World, kit: Kit, offline: bool) -> None:
    async with world.opened(TAG) as (engine, artifact):
        await read_all(artifact)
        names = listed(artifact)
        for layer in kit.layers:
            engine.cache.drop(layer.digest)
    world.gone = True
    reference = TAG if offline else pinned(kit)
    refusal = await world.refused(reference, offline=offline)
    assert "lacks 3 of 3 layers" in refusal.what + refusal.hint
    async with world.opened(reference, offline=offline, names_only=True) as (_, artifact):
        assert listed(artifact) == names
        assert not any(layer.provisional for layer in artifact.layers)


async def test_offline_names_that_only_headers_told_are_not_listed(world: World) -> None:
    """They were never proven here; the raw layer's name is the Kitfile's, and the small layer was proven by the mount."""
    async with world.opened(TAG):
        pass
    error = await world.refused(TAG, offline=True, names_only=True)
    assert isinstance(error, NotFound)
    assert "lacks the names in 1 of 3 layers (model weights)" in error.what


async def test_offline_a_raw_layer_is_listed_by_what_the_documents_say(world: World) -> None:
    kit = KitBuilder("raw", seed=9).raw("tiny.bin", 100).build()
    world.registry.push(TAG.repository, TAG.tag, kit.manifest, kit.blobs)
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(world.registry))
    async with client, engine_at(world.root / "cache") as engine:
        await describe(engine, client.repository(TAG), TAG)
    async with world.opened(TAG, offline=True, names_only=True) as (_, artifact):
        assert (b"tiny.bin", 100) in listed(artifact)


async def test_offline_names_are_for_whom_the_layers_are_granted(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, kit.blobs)
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(world.registry))
    async with client, engine_at(world.root / "cache") as engine:
        await describe(engine, client.repository(OTHER), OTHER)
    assert "lacks the names in 2 of 3 layers" in str(await world.refused(OTHER, offline=True, names_only=True))


@pytest.mark.logs("are damaged and will be fetched again")
async def test_offline_bytes_that_went_bad_fail_their_readers_at_once(world: World, kit: Kit, autojump_clock: MockClock) -> None:
    await world.warm(TAG)
    raw = next(layer for layer in kit.layers if layer.body.size_bytes == MIB + 5)
    flip(world.root / "cache" / "layers" / "sha256" / raw.digest.hex / "1", 100)
    async with world.opened(TAG, offline=True) as (_, artifact):
        with pytest.raises(NotFound, match="offline"):
            await read_all(artifact)


# --- who may be served


class Closed:
    """A door that lets nobody read `team/…`."""

    def refuse(self, request: Request, repository: str, /) -> Answer | None:
        return refusal(403, "UNAUTHORIZED") if repository.startswith("team/") else None

    def token(self, request: Request, /) -> Answer | None:
        return None


def blobs_but(kit: Kit, digest: Digest) -> dict[Digest, object]:
    return {each: body for each, body in kit.blobs.items() if each != digest}


@pytest.mark.parametrize("lacking", [0, 1, 2])
async def test_a_layer_is_not_served_to_a_repository_that_does_not_have_it(world: World, kit: Kit, lacking: int) -> None:
    """Somebody who knows digests pushes a manifest that names them; the bytes are here, but not for that repository."""
    await world.warm(TAG)
    layer = kit.layers[lacking]
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, blobs_but(kit, layer.digest))
    try:
        async with world.opened(OTHER) as (engine, artifact):
            assert engine.cache.layer(layer.digest) is not None
            served = [each for each in artifact.layers if each.blob.digest == layer.digest]
            assert not served[0].published
            with pytest.raises(NotFound):
                await served[0].read(ByteRange(0, 10))
    except* NotFound:  # where its names or its bytes are needed to show anything
        assert lacking != 1
    assert ("HEAD", "blobs", 404) in world.asked()


async def test_a_config_is_not_served_to_a_repository_that_does_not_have_it(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, blobs_but(kit, Digest.of(kit.config)))
    assert isinstance(await world.refused(OTHER), NotFound)


async def test_a_repository_that_has_the_layers_is_believed_after_one_head_each_and_for_a_day(world: World, kit: Kit) -> None:
    content = await world.warm(TAG)
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, kit.blobs)
    async with world.opened(OTHER) as (_, artifact):
        assert await read_all(artifact) == content
    assert world.asked() == [("GET", "manifests", 200), ("GET", "blobs", 200), *[("HEAD", "blobs", 200)] * 3]
    world.registry.log.clear()
    async with world.opened(OTHER) as (_, artifact):
        assert await read_all(artifact) == content
    assert world.asked() == [("GET", "manifests", 200)]


async def age_grants(world: World, kit: Kit, seconds: float = 2 * 24 * 3600.0) -> None:
    """All that was granted was granted so long ago."""
    async with engine_at(world.root / "cache") as engine:
        for digest in kit.blobs:
            engine.cache.grants.grant(TAG.registry, TAG.repository, digest, time.time() - seconds)


async def test_after_a_day_a_repository_is_asked_again_and_believed_for_another(world: World, kit: Kit) -> None:
    content = await world.warm(TAG)
    await age_grants(world, kit)
    async with world.opened(TAG) as (_, artifact):
        assert await read_all(artifact) == content
    assert world.asked() == [("GET", "manifests", 200), *[("HEAD", "blobs", 200)] * 4]
    world.registry.log.clear()
    async with world.opened(TAG) as (_, artifact):
        assert await read_all(artifact) == content
    assert world.asked() == [("GET", "manifests", 200)]


async def test_a_clock_that_was_set_back_makes_no_grant_last(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    await age_grants(world, kit, -3600.0)
    async with world.opened(TAG):
        pass
    assert world.asked() == [("GET", "manifests", 200), *[("HEAD", "blobs", 200)] * 4]


async def test_a_layer_that_a_repository_lost_is_not_served_from_the_cache_for_good(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    await age_grants(world, kit)
    lost = kit.layers[1]
    world.registry.faults.install(Fault(Match(digest=lost.digest), Status(404)))
    async with world.opened(TAG) as (engine, artifact):
        assert engine.cache.layer(lost.digest) is not None
        (layer,) = [each for each in artifact.layers if each.blob.digest == lost.digest]
        assert not layer.published
        with pytest.raises(NotFound):
            await layer.read(ByteRange(0, 10))
    error = await world.refused(TAG, offline=True)  # what was taken back is taken back
    assert "lacks 1 of 3 layers" in str(error)


async def test_an_old_grant_counts_where_the_registry_cannot_say(world: World, kit: Kit, autojump_clock: MockClock) -> None:
    content = await world.warm(TAG)
    await age_grants(world, kit)
    world.registry.faults.install(Fault(Match(path="/blobs/"), Status(500)))
    async with world.opened(TAG) as (_, artifact):
        assert await read_all(artifact) == content
    async with world.opened(TAG, offline=True) as (_, artifact):
        assert await read_all(artifact) == content
    world.gone = True
    async with world.opened(pinned(kit)) as (_, artifact):
        assert await read_all(artifact) == content


async def test_offline_counts_what_was_granted_before_and_nothing_else(world: World, kit: Kit) -> None:
    await world.warm(TAG)
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, kit.blobs)
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(world.registry))
    async with client, engine_at(world.root / "cache") as engine:
        await describe(engine, client.repository(OTHER), OTHER)
    error = await world.refused(OTHER, offline=True)
    assert "lacks 3 of 3 layers" in str(error)
    async with world.opened(OTHER):
        pass
    async with world.opened(OTHER, offline=True) as (_, artifact):
        assert len(artifact.layers) == 3


async def test_a_registry_that_cannot_say_is_asked_for_the_bytes(world: World, kit: Kit, autojump_clock: MockClock) -> None:
    content = await world.warm(TAG)
    world.registry.push(OTHER.repository, OTHER.tag, kit.manifest, kit.blobs)
    world.registry.faults.install(Fault(Match(path="/blobs/", method="HEAD"), Status(500)))
    async with world.opened(OTHER) as (_, artifact):
        assert await read_all(artifact) == content


@pytest.mark.parametrize("size_bytes", [0, MIB, 30 * MIB])
async def test_a_descriptor_that_lies_about_a_size_gets_nothing_from_the_cache(tmp_path: Path, size_bytes: int) -> None:
    async with engine_at(tmp_path / "cache") as engine:
        await layer_of(engine, LARGE.reader(), LARGE).prove()
        blob = replace(LARGE.descriptor, size_bytes=size_bytes)
        lying = Layer(engine=engine, reader=LARGE.reader(), access=Everybody(), blob=blob, label="model test", tar=False)
        await lying.open()
        assert not lying.proven
