"""Mirrors: asked first, proven as everything is, and never in the way."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import Mismatch, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.endpoints import ASIDE_SECONDS
from mkfs.registry.repository import Repository
from mkfs.registry.settings import HostsSettings
from mkfs.testing import faults
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from mkfs.testing.transport import MemoryTransport
from tests.support.attached import Attached
from tests.support.little_model import BLOB, BODY, DATA, MANIFEST, MANIFEST_DIGEST

WANTED = ByteRange(1000, 70_000)
TWO = '[host."https://mirror.test"]\n[host."https://second.test"]\n'
PINNED = Reference("registry.test", "team/model", None, MANIFEST_DIGEST)


class World:
    """A registry and two mirrors of it."""

    def __init__(self, root: Path, hosts_toml: str = TWO) -> None:
        self.registry, self.mirror, self.second = MemoryRegistry(), MemoryRegistry(), MemoryRegistry()
        for each in self.all:
            each.push("team/model", "7b", MANIFEST, {BLOB: BODY})
        self.root = root
        (root / "registry.test").mkdir()
        (root / "registry.test" / "hosts.toml").write_text(hosts_toml)
        self.credentials = Credentials.anonymous()
        self.clients: list[RegistryClient] = []

    @property
    def all(self) -> tuple[MemoryRegistry, ...]:
        return self.mirror, self.second, self.registry

    def open(self) -> Repository:
        hosts = {"mirror.test": self.mirror, "second.test": self.second, "registry.test": self.registry}
        settings = ClientSettings(hosts=HostsSettings((str(self.root),)))
        self.clients.append(RegistryClient(settings, self.credentials, inner=MemoryTransport(hosts)))
        return self.clients[-1].repository(PINNED)

    @property
    def asked(self) -> list[int]:
        """How often each was asked since the last time."""
        counts = [len(each.log) for each in self.all]
        for each in self.all:
            each.log.clear()
        return counts

    @property
    def passed_over(self) -> int:
        return self.clients[-1].statistics().passed_over


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def blob() -> Descriptor:
    return Descriptor("application/octet-stream", BLOB, BODY.size_bytes)


async def read(repository: Repository, blob: Descriptor, *, fresh: bool = False) -> str:
    """Reads a range and tells who sent it."""
    async with repository.open_range(blob, WANTED, fresh=fresh) as stream:
        data = b"".join([piece async for piece in stream])
        assert data[WANTED.start - stream.range.start :][: WANTED.length] == DATA[1000:70_000]
        return stream.host


async def test_the_first_mirror_serves_everything_and_the_registry_hears_nothing(world: World, blob: Descriptor) -> None:
    repository = world.open()
    assert (await repository.resolve(replace(PINNED, tag="7b", digest=None))).digest == MANIFEST_DIGEST
    assert (await repository.resolve(PINNED)).data == MANIFEST
    assert await read(repository, blob) == "mirror.test"
    assert (await repository.read_blob(blob)).data == DATA
    await repository.head_blob(blob)
    assert (world.asked, world.passed_over) == ([5, 0, 0], 0)


async def test_a_mirror_is_told_for_whom_it_stands(world: World, blob: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = []
    respond = world.mirror.respond
    monkeypatch.setattr(world.mirror, "respond", lambda request: queries.append(request.query) or respond(request))
    repository = world.open()
    await read(repository, blob)
    await repository.referrers(MANIFEST_DIGEST, "a/b")
    assert queries == ["ns=registry.test", "artifactType=a%2Fb&ns=registry.test", "ns=registry.test"]


FAILURES = {
    "missing": faults.Status(404),
    "broken": faults.Status(503),
    "refusing": faults.Status(401),
    "forbidding": faults.Status(403),
    "busy": faults.Status(429),
    "a web page": faults.Html200(),
    "gone": faults.Reset(None),
    "silent": faults.Withhold(),
    "not the range": faults.WrongContentRange(),
    "encoded": faults.Encoded(),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_mirror_that_fails_costs_one_try(world: World, blob: Descriptor, autojump_clock: MockClock, failure: str) -> None:
    world.mirror.faults.install(Fault(Match(path="/blobs/"), FAILURES[failure]))
    repository = world.open()
    start = trio.current_time()
    assert await read(repository, blob) == "second.test"
    assert trio.current_time() - start <= 10
    assert world.asked[1:] == [1, 0]
    assert world.passed_over == 1
    await repository.head_blob(blob)
    assert (await repository.read_blob(blob)).data == DATA


@pytest.mark.parametrize("failure", [*sorted(FAILURES.keys() - {"not the range"}), "wrong"])
async def test_so_it_is_with_manifests(world: World, autojump_clock: MockClock, failure: str) -> None:
    world.mirror.faults.install(Fault(Match(), faults.Flip(40) if failure == "wrong" else FAILURES[failure]))
    world.second.faults.install(Fault(Match(), faults.Status(500)))
    repository = world.open()
    assert (await repository.resolve(PINNED)).data == MANIFEST
    assert world.passed_over == 2
    assert world.asked == [2 if failure == "refusing" else 1, 1, 1]  # a refusal that does not say why is looked into


@pytest.mark.parametrize("action", [faults.ShortBody(5000), faults.Reset(5000), faults.Stall(5000)])
async def test_a_body_that_breaks_goes_on_elsewhere(
    world: World, blob: Descriptor, autojump_clock: MockClock, action: faults.Action
) -> None:
    world.mirror.faults.install(Fault(Match(), action))
    repository = world.open()
    with pytest.raises(Unreachable):
        await read(repository, blob)
    assert await read(repository, blob) == "second.test"
    assert world.asked == [1, 1, 0]


async def test_a_mirror_that_failed_is_asked_again_after_a_while(world: World, blob: Descriptor, autojump_clock: MockClock) -> None:
    fault = world.mirror.faults.install(Fault(Match(), faults.Status(503)))
    repository = world.open()
    for _ in range(5):
        await read(repository, blob)
    assert world.asked == [1, 5, 0]
    world.mirror.faults.mend(fault)
    await trio.sleep(ASIDE_SECONDS + 1)
    assert await read(repository, blob) == "mirror.test"


async def test_a_mirror_that_has_not_one_blob_is_asked_for_the_next(world: World, blob: Descriptor) -> None:
    world.mirror.repositories["team/model"].blobs.clear()
    repository = world.open()
    await read(repository, blob)
    await repository.resolve(PINNED)
    assert world.asked == [2, 1, 0]


async def test_with_the_registry_gone_the_mirrors_are_enough(world: World, blob: Descriptor, autojump_clock: MockClock) -> None:
    world.registry.faults.install(Fault(Match(), faults.Withhold()))
    stumble = world.mirror.faults.install(Fault(Match(), faults.Status(503)))
    world.second.faults.install(Fault(Match(), faults.Status(503)))
    repository = world.open()
    for _ in range(2):
        with pytest.raises(Unreachable, match="no byte for 25 s") as caught:
            await repository.resolve(PINNED)
        assert caught.value.where == "registry.test"
    world.mirror.faults.mend(stumble)
    assert (await repository.resolve(PINNED)).data == MANIFEST  # it is asked after the registry, but it is asked


async def test_bytes_that_came_wrong_are_asked_for_at_the_registry(world: World, blob: Descriptor) -> None:
    repository = world.open()
    assert await read(repository, blob, fresh=True) == "registry.test"
    world.mirror.faults.install(Fault(Match(), faults.Flip(7)))
    world.second.faults.install(Fault(Match(), faults.Flip(7)))
    assert (await repository.read_blob(blob)).data == DATA
    world.registry.faults.install(Fault(Match(), faults.Flip(7)))
    with pytest.raises(Mismatch):
        await repository.read_blob(blob)


async def test_what_nobody_has_is_told_by_the_registry(world: World) -> None:
    missing = Descriptor("x", Digest.of(b"missing"), 7)
    with pytest.raises(NotFound) as caught:
        await world.open().head_blob(missing)
    assert caught.value.where == "registry.test"


async def test_only_a_host_that_may_says_what_a_tag_means(tmp_path: Path, blob: Descriptor) -> None:
    world = World(
        tmp_path, '[host."https://mirror.test"]\ncapabilities = ["pull"]\n[host."https://second.test"]\ncapabilities = ["resolve"]'
    )
    repository = world.open()
    await repository.resolve(replace(PINNED, tag="7b", digest=None))
    assert world.asked == [0, 1, 0]
    await read(repository, blob)
    assert world.asked == [1, 0, 0]
    world.mirror.repositories.clear()
    assert await read(repository, blob) == "registry.test"


async def test_each_host_gets_its_own_password_and_headers(tmp_path: Path, blob: Descriptor) -> None:
    world = World(tmp_path, '[host."https://mirror.test"]\n[host."https://mirror.test".header]\nX-Team = "ml"')
    world.registry.access = Basic({"ada": "pl4nted-upstream"})
    world.mirror.access = Bearer(TokenIssuer({"ada": "pl4nted-mirrored"}, realm="https://mirror.test/token"))
    auths = {f"{host}.test": {"auth": base64.b64encode(f"ada:{word}".encode()).decode()} for host, word in PASSWORDS.items()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    world.credentials = Credentials.load(tmp_path / "config.json")
    repository = world.open()
    assert await read(repository, blob) == "mirror.test"
    assert [served.status for served in world.mirror.log] == [401, 200, 206]
    assert ["x-team" in served.header_names for served in world.mirror.log] == [True, False, True]
    world.mirror.repositories.clear()
    assert await read(repository, blob) == "registry.test"
    assert "x-team" not in world.registry.log.requests()[-1].header_names


PASSWORDS = {"registry": "pl4nted-upstream", "mirror": "pl4nted-mirrored"}


async def test_a_password_for_the_registry_is_not_shown_to_its_mirror(tmp_path: Path, blob: Descriptor) -> None:
    world = World(tmp_path, '[host."https://mirror.test"]')
    for each in (world.registry, world.mirror):
        each.access = Basic({"ada": "pl4nted-upstream"})
    auths = {"registry.test": {"auth": base64.b64encode(b"ada:pl4nted-upstream").decode()}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    world.credentials = Credentials.load(tmp_path / "config.json")
    assert await read(world.open(), blob) == "registry.test"
    assert not any("authorization" in served.header_names for served in world.mirror.log)


async def test_referrers_that_a_mirror_does_not_know_are_found_at_the_registry(world: World) -> None:
    for each in world.all:
        each.referrers = ReferrersApi()
    attached = Attached(Descriptor(OCI_MANIFEST, MANIFEST_DIGEST, len(MANIFEST)))
    repository = world.open()
    assert await repository.referrers(MANIFEST_DIGEST) == ()
    await attached.push(repository)
    assert attached.descriptor.digest in world.registry.repositories["team/model"].manifests
    assert await repository.referrers(MANIFEST_DIGEST) == (attached.descriptor,)
    world.second.push("team/model", None, attached.manifest)
    world.registry.faults.install(Fault(Match(), faults.Status(400)))
    assert await repository.referrers(MANIFEST_DIGEST, attached.artifact_type) == (attached.descriptor,)


async def test_a_push_goes_to_the_registry(world: World) -> None:
    await world.open().push_blob(Descriptor("x", Digest.of(b"new"), 3), b"new")
    assert world.asked == [0, 0, 3]


async def test_a_refusal_of_every_host_is_told_by_the_registry(world: World, blob: Descriptor) -> None:
    for each in world.all:
        each.access = Basic({"ada": "pl4nted"})
    with pytest.raises(NotAuthorised) as caught:
        await read(world.open(), blob)
    assert caught.value.hint == "docker login registry.test"


async def test_podmans_rewriting_reads_another_repository(tmp_path: Path, blob: Descriptor) -> None:
    (tmp_path / "certs").mkdir()
    world = World(tmp_path / "certs")
    world.mirror.repositories["proxy/team/model"] = world.mirror.repositories.pop("team/model")
    conf = tmp_path / "registries.conf"
    conf.write_text('[[registry]]\nlocation = "registry.test"\n[[registry.mirror]]\nlocation = "mirror.test/proxy"')
    hosts = {"mirror.test": world.mirror, "registry.test": world.registry}
    settings = ClientSettings(hosts=HostsSettings((), (str(conf),)))
    repository = RegistryClient(settings, Credentials.anonymous(), inner=MemoryTransport(hosts)).repository(PINNED)
    assert await read(repository, blob) == "mirror.test"
    assert (await repository.resolve(PINNED)).data == MANIFEST
    assert world.asked == [2, 0, 0]


async def test_an_error_of_the_reader_is_not_held_against_the_host(world: World, blob: Descriptor) -> None:
    repository = world.open()
    with pytest.raises(KeyError):
        async with repository.open_range(blob, WANTED):
            raise KeyError
    assert await read(repository, blob) == "mirror.test"
