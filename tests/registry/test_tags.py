"""Tags: listed page by page, and asked what they mean without pulling anything."""

import json
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import BadDocument, NotFound, Unreachable
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.registry import tags
from mkfs.registry.client import RegistryClient
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.support.little_model import MANIFEST, MANIFEST_DIGEST

LIST = "/tags/list"
MOVED = Digest.of(b'{"schemaVersion":2}')


async def test_all_tags_are_listed(registry: MemoryRegistry, repository: Repository) -> None:
    for tag in ("latest", "13b"):
        registry.push("team/model", tag, MANIFEST)
    assert await repository.tags() == ("13b", "7b", "latest")
    assert len(registry.log) == 1


async def test_a_long_list_comes_page_by_page(
    registry: MemoryRegistry, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "_PAGE", 2)
    for number in range(5):
        registry.push("team/model", f"v{number}", MANIFEST)
    assert await repository.tags() == ("7b", "v0", "v1", "v2", "v3", "v4")
    assert len(registry.log) == 3


@pytest.mark.logs("registry.test/team/model has more tags: going on with 3")
@pytest.mark.parametrize("limit", ["TAGS_LIMIT", "PAGES_LIMIT"])
async def test_a_list_without_end_is_left(
    registry: MemoryRegistry, repository: Repository, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(tags, "_PAGE", 1)
    monkeypatch.setattr(tags, limit, 3)
    for number in range(9):
        registry.push("team/model", f"v{number}", MANIFEST)
    assert await repository.tags() == ("7b", "v0", "v1")


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ({"tags": None}, ()),
        ({}, ()),
        ({"tags": ["ok", 7, "no tag", "../up", "", "ok", "-x", "\x1b[31m"]}, ("ok",)),
    ],
)
async def test_what_is_no_tag_is_left_out(
    registry: MemoryRegistry, repository: Repository, listed: object, found: tuple[str, ...]
) -> None:
    registry.faults.install(Fault(Match(path=LIST), faults.Status(200, body=json.dumps(listed).encode())))
    assert await repository.tags() == found


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (faults.Status(404), NotFound, "registry.test/team/model not found"),
        (faults.Status(400), Unreachable, "does not answer for registry.test/team/model"),
        (faults.Html200(), Unreachable, "a web page came instead of the list of tags"),
        (faults.Status(200, body=b"[]"), BadDocument, "not a JSON object"),
        (faults.Status(200, body=b'{"tags": "x"}'), BadDocument, "tags is no list"),
        (faults.Status(200, body=b" " * (5 << 20)), BadDocument, "too large"),
    ],
)
async def test_a_list_that_is_none_is_told(
    registry: MemoryRegistry, repository: Repository, answer: faults.Action, error: type[Exception], words: str
) -> None:
    registry.faults.install(Fault(Match(path=LIST), answer))
    with pytest.raises(error, match=words):
        await repository.tags()


async def test_a_tag_is_looked_up_without_pulling(registry: MemoryRegistry, repository: Repository, reference: Reference) -> None:
    assert await repository.digest_of(reference) == MANIFEST_DIGEST
    assert [(served.method, served.sent_bytes) for served in registry.log] == [("HEAD", 0)]


@pytest.mark.parametrize("action", [faults.Status(401), faults.Status(405), faults.WrongDigestHeader("")])
async def test_where_head_says_nothing_the_manifest_is_read(
    registry: MemoryRegistry, repository: Repository, reference: Reference, action: faults.Action
) -> None:
    registry.faults.install(Fault(Match(method="HEAD"), action))
    assert await repository.digest_of(reference) == MANIFEST_DIGEST


async def test_a_tag_that_is_gone_is_not_found(client: Callable[..., RegistryClient]) -> None:
    reference = Reference.parse("registry.test/team/model:8b")
    with pytest.raises(NotFound, match=r"registry.test/team/model:8b not found"):
        await client().repository(reference).digest_of(reference)


async def test_a_moved_tag_means_another_digest(registry: MemoryRegistry, repository: Repository, reference: Reference) -> None:
    registry.push("team/model", "7b", b'{"schemaVersion":2}')
    assert await repository.digest_of(reference) == MOVED


@pytest.mark.logs(
    f"registry.test/team/model:7b means {MOVED} now; what is shown stays {MANIFEST_DIGEST}", "means what is shown again"
)
async def test_a_tag_that_moves_is_told_once_and_when_it_comes_back(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], reference: Reference, autojump_clock: MockClock
) -> None:
    asking = client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.repository(reference).watch_tag, reference, MANIFEST_DIGEST, 100)
        await trio.sleep(1000)
        assert 8 <= len(registry.log) <= 12
        assert {served.method for served in registry.log} == {"HEAD"}
        for manifest, moves in ((b'{"schemaVersion":2}', 1), (MANIFEST, 2)):
            registry.push("team/model", "7b", manifest)
            await trio.sleep(1000)
            assert asking.statistics().tags_moved == moves
        nursery.cancel_scope.cancel()


async def test_a_registry_that_is_away_moves_no_tag(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], reference: Reference, autojump_clock: MockClock
) -> None:
    asking = client()
    registry.faults.install(Fault(Match(), faults.Status(503)))
    with trio.move_on_after(1000):
        await asking.repository(reference).watch_tag(reference, MANIFEST_DIGEST, 100)
    assert registry.log
    assert asking.statistics().tags_moved == 0


@pytest.mark.logs(f"means {MANIFEST_DIGEST} now; what is shown stays {MOVED}")
async def test_where_a_digest_was_given_too_the_tag_is_asked_at_once(
    registry: MemoryRegistry, repository: Repository, reference: Reference, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(1):
        await repository.watch_tag(reference.pinned(MOVED), MOVED, 100)
    assert len(registry.log) == 1
