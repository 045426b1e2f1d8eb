"""Asking whether a repository has a blob and lets us read it, without reading it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from trio.testing import MockClock

from mkfs.errors import Mismatch, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.registry.client import RegistryClient
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.access import Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from tests.support.little_model import BLOB, DATA, MANIFEST

REALM = "https://registry.test/token"


def asked(registry: MemoryRegistry) -> list[tuple[str, int]]:
    return [(served.method, served.status) for served in registry.log]


async def test_a_blob_that_is_there_costs_one_request_and_no_byte(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    await repository.head_blob(blob)
    assert asked(registry) == [("HEAD", 200)]
    assert registry.bytes_sent() == 0


async def test_a_blob_of_another_repository_is_not_found(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], blob: Descriptor
) -> None:
    registry.push("team/other", "1", MANIFEST)
    other = client().repository(Reference.parse("registry.test/team/other:1"))
    with pytest.raises(NotFound, match=blob.digest.hex):
        await other.head_blob(blob)
    assert asked(registry) == [("HEAD", 404), ("GET", 404)]


async def test_whoever_may_not_read_is_told_so(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    registry.access = Bearer(TokenIssuer({"ada": "pl4nted"}, realm=REALM))
    with pytest.raises(NotAuthorised):
        await repository.head_blob(blob)


async def test_a_token_opens_it(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM))
    await repository.head_blob(blob)
    assert asked(registry)[-1] == ("HEAD", 200)


async def test_storage_is_asked_where_the_registry_sends_us(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    registry.faults.install(Fault(Match(digest=BLOB), faults.Redirect(f"https://storage.test/storage/{BLOB}?sig=1")))
    await repository.head_blob(blob)
    assert asked(storage) == [("HEAD", 200)]


@pytest.mark.parametrize("status", [400, 401, 403, 405])
async def test_an_address_signed_for_reading_only_is_read_by_one_byte(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, status: int
) -> None:
    registry.faults.install(Fault(Match(digest=BLOB), faults.Redirect(f"https://storage.test/storage/{BLOB}?sig=1")))
    storage.faults.install(Fault(Match(), faults.Status(status), times=1))
    await repository.head_blob(blob)
    assert asked(storage) == [("HEAD", status), ("GET", 206)]


async def test_a_sign_in_page_that_answers_everything_is_not_believed(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Html200()))
    with pytest.raises(Unreachable):
        await repository.head_blob(blob)


async def test_a_registry_that_stumbles_is_asked_again(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Status(503), times=2))
    await repository.head_blob(blob)
    assert asked(registry) == [("HEAD", 503), ("GET", 503), ("HEAD", 200)]


async def test_bytes_that_came_with_the_descriptor_are_asked_for_nowhere(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    await repository.head_blob(Descriptor("text/plain", Digest.of(b""), 0))
    await repository.head_blob(replace(blob, data=DATA))
    assert asked(registry) == []


async def test_no_size_of_a_blob_makes_it_known(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    with pytest.raises(Mismatch):
        await repository.head_blob(replace(blob, size_bytes=0))
