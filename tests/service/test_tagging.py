"""Tags grouped by what they mean, with size and age."""

import json
from datetime import UTC, datetime

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import NotFound
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.service.tagging import CONCURRENCY, tagged
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport

CREATED = "org.opencontainers.image.created"


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def repository(registry: MemoryRegistry) -> Repository:
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(registry))
    return client.repository(Reference.parse("registry.test/team/model:x"))


def push(registry: MemoryRegistry, *tags: str, config: bytes = b"{}", created: str = "", size_bytes: int = 1000) -> Digest:
    digest = Digest.of(config)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_IMAGE_CONFIG, "digest": str(digest), "size": len(config)},
        "layers": [{"mediaType": "x", "digest": str(Digest.of(b"")), "size": size_bytes}],
        "annotations": {CREATED: created} if created else {},
    }
    data = json.dumps(document).encode()
    for tag in tags:
        registry.push("team/model", tag, data, {digest: config})
    return Digest.of(data)


async def test_tags_of_one_artifact_stand_together_newest_first(registry: MemoryRegistry, repository: Repository) -> None:
    old = push(registry, "7b", "stable", created="2024-01-31T10:00:00Z")
    new = push(registry, "latest", created="2026-05-01T10:00:00+02:00", size_bytes=5)
    unknown = push(registry, "a", size_bytes=7)
    found = await tagged(repository)
    assert [(each.digest, each.tags, each.size_bytes) for each in found] == [
        (new, ("latest",), 7),
        (old, ("7b", "stable"), 1002),
        (unknown, ("a",), 9),
    ]
    assert found[0].created == datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert found[2].created is None


@pytest.mark.parametrize(
    "config",
    [b'{"created":"2025-03-01T00:00:00Z"}', b'{"descriptor":{"createdAt":"2025-03-01T00:00:00"}}'],
    ids=["an image", "a model"],
)
async def test_an_artifact_may_say_its_age_in_its_config(registry: MemoryRegistry, repository: Repository, config: bytes) -> None:
    push(registry, "1", config=config)
    assert [each.created for each in await tagged(repository)] == [datetime(2025, 3, 1, tzinfo=UTC)]


@pytest.mark.parametrize("config", [b"not json", b'{"created":"yesterday"}', b'{"created":7}', b'{"descriptor":[]}'])
async def test_an_age_that_makes_no_sense_is_none(registry: MemoryRegistry, repository: Repository, config: bytes) -> None:
    push(registry, "1", config=config, created="soon")
    assert [each.created for each in await tagged(repository)] == [None]


async def test_what_cannot_be_read_is_listed_all_the_same(registry: MemoryRegistry, repository: Repository) -> None:
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    registry.push("team/model", "all", index)
    registry.push("team/model", "odd", b"{}")
    assert {(each.tags, each.size_bytes) for each in await tagged(repository)} == {(("all",), None), (("odd",), None)}


async def test_a_tag_that_vanishes_meanwhile_is_left_out(registry: MemoryRegistry, repository: Repository) -> None:
    push(registry, "1", "2")
    registry.faults.install(Fault(Match(path="/manifests/2"), faults.Status(404)))
    assert [each.tags for each in await tagged(repository)] == [("1",)]


async def test_a_repository_without_tags_is_empty_and_one_that_is_not_there_is_told(
    registry: MemoryRegistry, repository: Repository
) -> None:
    with pytest.raises(NotFound):
        await tagged(repository)
    registry.push("team/model", None, b"{}")
    assert await tagged(repository) == []


async def test_many_tags_are_asked_for_some_at_a_time(
    registry: MemoryRegistry, repository: Repository, autojump_clock: MockClock
) -> None:
    push(registry, *(f"v{number}" for number in range(6 * CONCURRENCY)))
    registry.faults.install(Fault(Match(method="HEAD"), faults.Delay(1)))
    start = trio.current_time()
    assert len((await tagged(repository))[0].tags) == 6 * CONCURRENCY
    assert trio.current_time() - start == pytest.approx(6)
