"""A repository asked for what it shows: how often, how long that is believed, and what is done when nobody answers.

Time is `trio.testing.MockClock`: it stands still but where a test moves it, or lets waits pass (`autojump_threshold`).
"""

import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.cache.resolutions import Resolutions
from mkfs.content.artifact import Artifact
from mkfs.content.describing import Terms
from mkfs.content.layer import Layer
from mkfs.errors import FileSystemError, Mismatch, NotAuthorised, Unreachable
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Policy, Rule
from mkfs.proof.proven import Proven
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.service.grove import ANSWER_SECONDS, CONCURRENCY, KNOWN_SECONDS, RepositoryGrove
from mkfs.service.opening import Means
from mkfs.service.targets import RETRY_SECONDS
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Flip, Match, Status
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.units import MIB
from mkfs.vfs.forest import Forest, Planted
from tests.content.test_trusted_parents import hang_index
from tests.support.layers import engine_at
from tests.support.signing import key_pair

NAME = "team/llama"
REPOSITORY = Reference("registry.test", NAME)
TTL = 60.0
WAIT = 300.0
PAIR = key_pair()
MUST_BE_INDEXED = Policy((Rule("", (PAIR.public,), require_index=True),))


@pytest.fixture(scope="module")
def kits() -> tuple[Kit, Kit]:
    """Two kits that share their weights."""
    return tuple(
        KitBuilder(name, seed=3).model("model.bin", 2 * MIB + 7).docs("README.md", name.encode()).build() for name in ("a", "b")
    )


@dataclass
class World:
    """A machine with a cache, and a network with one registry."""

    root: Path
    clock: MockClock
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    def __post_init__(self) -> None:
        self.hosts = {"registry.test": self.registry}

    @asynccontextmanager
    async def grove(
        self, *, ttl: float = TTL, policy: Policy | None = None, offline: bool = False
    ) -> AsyncGenerator[RepositoryGrove, None]:
        client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(self.hosts))
        async with client, engine_at(self.root / "cache") as engine:
            terms = Terms(policy or Policy(), elsewhere=client.repository)
            means = Means(REPOSITORY, None if offline else client.repository(REPOSITORY), engine, terms, client)
            self.forest = Forest()
            self.numbers: dict[Digest, int] = {}
            grove = RepositoryGrove(means, self.forest, ttl, WAIT)
            try:
                yield grove
            finally:
                grove.close()

    async def enter(self, grove: RepositoryGrove, digest: Digest) -> None:
        """What the file system does when somebody goes inside."""
        number = self.numbers.setdefault(digest, self.forest.reserve(3))
        await grove.plant(digest, number)
        assert self.forest.is_planted(number)

    def asked(self) -> list[tuple[str, str]]:
        """Methods and what for, since the last call."""
        asked = [(served.method, served.path.removeprefix(f"/v2/{NAME}/")) for served in self.registry.log]
        self.registry.log.clear()
        return asked

    def push(self, tag: str | None, kit: Kit) -> Digest:
        return self.registry.push(NAME, tag, kit.manifest, kit.blobs)

    def delete(self, tag: str) -> None:
        del self.registry.repositories[NAME].tags[tag]


@pytest.fixture
def world(tmp_path: Path, mock_clock: MockClock) -> World:
    return World(tmp_path, mock_clock)


async def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(FileSystemError) as caught:
        await call(*arguments)
    return errno.errorcode[caught.value.errno]


# --- tags


async def test_a_tag_costs_one_head_until_its_time_is_over(world: World, kits: tuple[Kit, Kit]) -> None:
    old = world.push("7b", kits[0])
    async with world.grove() as grove:
        assert grove.target_now("7b") is None
        assert await grove.target("7b") == grove.target_now("7b") == old
        assert grove.believed_seconds("7b") == TTL
        assert world.asked() == [("HEAD", "manifests/7b")]
        new = world.push("7b", kits[1])
        world.clock.jump(TTL - 1)
        assert (grove.target_now("7b"), grove.believed_seconds("7b")) == (old, 1)
        world.clock.jump(1)
        assert grove.target_now("7b") is None
        assert await grove.target("7b") == new
        assert world.asked() == [("HEAD", "manifests/7b")]


async def test_without_a_time_to_live_every_look_asks(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    async with world.grove(ttl=0) as grove:
        for _ in range(3):
            assert grove.target_now("7b") is None
            await grove.target("7b")
        assert len(world.asked()) == 3


async def test_many_who_ask_for_a_tag_are_one_and_many_tags_go_some_at_a_time(world: World, kits: tuple[Kit, Kit]) -> None:
    names = [f"v{number}" for number in range(3 * CONCURRENCY)]
    for name in names:
        world.push(name, kits[0])
    held = faults.Withhold()
    world.registry.faults.install(Fault(Match(method="HEAD"), held))
    async with world.grove() as grove, trio.open_nursery() as nursery:
        for name in names * 4:
            nursery.start_soon(grove.target, name)
        await trio.testing.wait_all_tasks_blocked()
        assert (held.gate.waiting, len(world.asked())) == (CONCURRENCY, CONCURRENCY)
        held.release()
    assert len(world.asked()) == len(names) - CONCURRENCY


async def test_who_walks_along_the_tags_waits_for_few_of_them(world: World, kits: tuple[Kit, Kit]) -> None:
    names = [f"v{number:02}" for number in range(2 + 4 * CONCURRENCY)]
    for name in names:
        world.push(name, kits[0])
    world.registry.faults.install(Fault(Match(method="HEAD"), faults.Delay(1)))
    async with world.grove(ttl=3600) as grove:
        listed = await grove.tags()
        world.asked()
        world.clock.autojump_threshold = 0.02
        await grove.target(listed[5])  # which is not asked about again
        before, waited = trio.current_time(), 0
        for name in listed:
            if grove.target_now(name) is None:
                waited += 1
                await grove.target(name)
        assert (waited, trio.current_time() - before) == (2 + 4, pytest.approx(2 + 4))
        assert sorted(world.asked()) == sorted(("HEAD", f"manifests/{name}") for name in names)


async def test_who_looks_at_two_neighbours_has_nothing_else_asked(world: World, kits: tuple[Kit, Kit]) -> None:
    for number in range(9):
        world.push(f"v{number}", kits[0])
    async with world.grove() as grove:
        listed = await grove.tags()
        world.asked()
        for name in listed[3:5]:
            await grove.target(name)
        await trio.testing.wait_all_tasks_blocked()
        assert world.asked() == [("HEAD", f"manifests/{name}") for name in listed[3:5]]


async def test_a_tag_that_vanished_is_not_there(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        world.delete("7b")
        world.clock.jump(TTL)
        assert await refusal(grove.target, "7b") == "ENOENT"
        world.asked()
        with pytest.raises(FileSystemError):
            grove.target_now("7b")
        assert world.asked() == []
        world.push("7b", kits[1])
        world.clock.jump(TTL)
        assert await grove.target("7b") == kits[1].manifest_digest


async def test_tags_are_listed_once_in_their_time_and_none_is_asked_for(world: World, kits: tuple[Kit, Kit]) -> None:
    for name in ("7b", "_odd.--", "latest"):
        world.push(name, kits[0])
    async with world.grove() as grove:
        for _ in range(3):
            assert sorted(await grove.tags()) == ["7b", "_odd.--", "latest"]
        assert grove.believed_seconds("7b") == TTL
        assert grove.believed_seconds("none") == 0
        assert [each for each, _ in world.asked()] == ["GET"]
        world.delete("latest")
        world.clock.jump(TTL)
        assert sorted(await grove.tags()) == ["7b", "_odd.--"]


@pytest.mark.logs("what the tag 7b means is not known just now, it stays at", "they stay what they were")
async def test_when_the_registry_is_gone_known_tags_stay_and_others_are_an_error(world: World, kits: tuple[Kit, Kit]) -> None:
    old = world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        await grove.tags()
        del world.hosts["registry.test"]
        world.clock.jump(TTL)
        world.clock.autojump_threshold = 0.02
        before = trio.current_time()
        assert await grove.target("7b") == old
        assert trio.current_time() - before <= KNOWN_SECONDS
        assert grove.target_now("7b") == old  # and nobody waits again
        assert grove.believed_seconds("7b") == pytest.approx(RETRY_SECONDS, abs=1)
        assert await grove.tags() == ("7b",)
        with pytest.raises(Unreachable):
            await grove.target("8b")
        assert trio.current_time() - before <= 2 * KNOWN_SECONDS + ANSWER_SECONDS + 1
        world.hosts["registry.test"] = world.registry
        new = world.push("7b", kits[1])
        await trio.sleep(RETRY_SECONDS)
        assert await grove.target("7b") == new


@pytest.mark.logs("what the tag 7b means is not known just now")
async def test_a_registry_that_says_nothing_is_not_waited_for_where_the_link_shows_something(
    world: World, kits: tuple[Kit, Kit]
) -> None:
    world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        world.registry.faults.install(Fault(Match(method="HEAD"), faults.Withhold()))
        world.clock.jump(TTL)
        world.clock.autojump_threshold = 0.02
        before = trio.current_time()
        await grove.target("7b")
        assert trio.current_time() - before == pytest.approx(KNOWN_SECONDS)
        before = trio.current_time()
        with pytest.raises(Unreachable):
            await grove.target("8b")
        assert trio.current_time() - before <= ANSWER_SECONDS


async def test_a_registry_that_lets_nobody_list_still_answers_for_a_tag(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    world.registry.faults.install(Fault(Match(path="/tags/list"), Status(403)))
    async with world.grove() as grove:
        with pytest.raises(NotAuthorised):
            await grove.tags()
        assert await grove.target("7b") == kits[0].manifest_digest


# --- artifacts


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


# --- policy


async def sign(world: World, digest: Digest) -> None:
    """Pushes what the policy asks for."""
    await hang_index(world.root, world.hosts, replace(REPOSITORY, digest=digest), PAIR.signing)


@pytest.mark.logs("the tag production means sha256:[0-9a-f]+ now, which is refused, and stays at")
async def test_a_tag_that_moves_to_what_is_refused_does_not_move_here(world: World, kits: tuple[Kit, Kit]) -> None:
    world.registry.referrers = ReferrersApi()
    old = world.push("production", kits[0])
    await sign(world, old)
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        assert await grove.target("production") == old
        world.asked()
        world.clock.jump(TTL)
        await grove.target("production")
        assert world.asked() == [("HEAD", "manifests/production")]  # it is judged once
        new = world.push("production", kits[1])
        world.clock.jump(TTL)
        assert await grove.target("production") == old
        (state,) = grove.states()
        assert (state.shown, state.refused) == (old, new)
        assert "no chunk index signed" in state.reason
        await sign(world, new)
        world.clock.jump(RETRY_SECONDS)
        assert await grove.target("production") == new
        assert [(state.shown, state.refused) for state in grove.states()] == [(new, None)]


@pytest.mark.logs("the tag 7b means sha256:[0-9a-f]+ now, which is refused, and leads nowhere", "is refused: the artifact has no")
async def test_a_tag_that_never_meant_anything_allowed_is_refused_and_so_is_its_digest(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        assert await refusal(grove.target, "7b") == "EACCES"
        assert await refusal(world.enter, grove, digest) == "EACCES"
        assert grove.artifacts == []


async def test_no_layer_is_touched_by_judging(world: World, kits: tuple[Kit, Kit]) -> None:
    world.registry.referrers = ReferrersApi()
    old = world.push("production", kits[0])
    await sign(world, old)
    world.registry.log.clear()
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        await grove.target("production")
    blobs = {served.digest for served in world.registry.log if "/blobs/" in served.path}
    assert not blobs & {layer.digest for layer in kits[0].layers}


# --- without the registry


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
