"""Blobs that are kept elsewhere: signed addresses followed, remembered, renewed; and those that are not followed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.errors import NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.access import Basic
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.support.little_model import BLOB, DATA, MANIFEST

SIGNED = "https://storage.test/storage/{digest}?X-Amz-Signature=pl4nted"


def send(registry: MemoryRegistry, url: str, *, code: int = 307, path: str = "/v2/.*/blobs/", times: int | None = None) -> None:
    registry.faults.install(Fault(Match(path=path), faults.Redirect(url, code), times=times))


def hits(registry: MemoryRegistry) -> list[int]:
    """The statuses of the requests since the last call."""
    found = [each.status for each in registry.requests()]
    registry.log.clear()
    return found


async def read(repository: Repository, blob: Descriptor, *, fresh: bool = False) -> str:
    """Reads a range, checks it, and tells who sent it."""
    async with repository.open_range(blob, ByteRange(1000, 2000), fresh=fresh) as stream:
        assert b"".join([piece async for piece in stream]) == DATA[1000:2000]
        return stream.host


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_blob_is_read_where_the_registry_keeps_it(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, code: int
) -> None:
    send(registry, SIGNED, code=code)
    assert await read(repository, blob) == "storage.test"
    assert storage.bytes_sent(BLOB) == 1000


async def test_a_signed_address_is_remembered(
    registry: MemoryRegistry, storage: MemoryRegistry, client: Callable[..., RegistryClient], reference: Reference, blob: Descriptor
) -> None:
    send(registry, SIGNED)
    asking = client()
    repository = asking.repository(reference)
    for _ in range(3):
        await read(repository, blob)
    assert (hits(registry), hits(storage)) == ([307], [206, 206, 206])
    assert asking.statistics().redirects == 1


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_an_address_that_is_too_old_is_renewed_once(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, status: int
) -> None:
    send(registry, SIGNED)
    await read(repository, blob)
    expired = storage.faults.install(Fault(Match(), faults.Status(status), times=1))
    await read(repository, blob)
    assert (hits(registry), hits(storage)) == ([307, 307], [206, status, 206])
    storage.faults.mend(expired)
    storage.faults.install(Fault(Match(), faults.Status(status)))
    with pytest.raises(Unreachable, match=f"storage host refuses the address the registry gave .status {status}") as caught:
        await read(repository, blob)
    assert caught.value.where == "storage.test"
    assert (hits(registry), hits(storage)) == ([307], [status, status])


@pytest.mark.parametrize(
    "action", [faults.Reset(100), faults.Reset(None), faults.Status(503), faults.ShortBody(5), faults.Stall(5)]
)
async def test_after_a_broken_transfer_the_registry_is_asked_for_another_address(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    repository: Repository,
    blob: Descriptor,
    autojump_clock: MockClock,
    action: faults.Action,
) -> None:
    send(registry, SIGNED)
    await read(repository, blob)
    storage.faults.install(Fault(Match(), action, times=1))
    with pytest.raises(Unreachable):
        await read(repository, blob)
    await read(repository, blob)
    assert hits(registry) == [307, 307]


async def test_fresh_bytes_come_from_a_fresh_address(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    send(registry, SIGNED)
    await read(repository, blob)
    await read(repository, blob, fresh=True)
    assert hits(registry) == [307, 307]


async def test_a_blob_the_storage_lost_is_not_found(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    send(registry, SIGNED)
    storage.repositories.clear()
    with pytest.raises(NotFound, match=f"blob {blob.digest} not found"):
        await read(repository, blob)


async def test_credentials_stay_with_the_registry(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
) -> None:
    registry.access = Basic({"me": "pl4nted"})
    registry.faults.install(Fault(Match(path="/blobs/", nth=2), faults.Redirect(SIGNED)))
    repository = client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference)
    await read(repository, blob)
    await read(repository, blob)
    shown = ["authorization" in each.header_names for each in (*registry.requests(), *storage.requests())]
    assert shown == [False, True, False, False]
    assert hits(storage) == [206, 206]


@pytest.mark.parametrize(
    ("plain_http", "elsewhere"), [(False, "https://registry.test:8080"), (True, "https://registry.test")], ids=["port", "scheme"]
)
async def test_another_port_or_scheme_of_the_registry_is_somebody_else(
    registry: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
    plain_http: bool,
    elsewhere: str,
) -> None:
    registry.access = Basic({"me": "pl4nted"})
    send(registry, f"{elsewhere}/storage/{{digest}}")
    credentials = Credentials.load(docker_config("registry.test", "me:pl4nted"))
    repository = client(credentials, plain_http=plain_http).repository(reference)
    await repository.resolve(reference)
    await read(repository, blob)  # like S3, the storage refuses a request that shows credentials


async def test_a_relative_location_stays_at_the_registry_with_its_credentials(
    registry: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
) -> None:
    registry.repositories["downloads"] = registry.repositories["team/model"]
    send(registry, "/v2/downloads/blobs/{digest}", path="/v2/team/model/blobs/")
    registry.access = Basic({"me": "pl4nted"})
    repository = client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference)
    assert await read(repository, blob) == "registry.test"


async def test_a_manifest_may_be_kept_elsewhere_too(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, reference: Reference
) -> None:
    storage.push("mirror", "7b", MANIFEST)
    send(registry, "https://storage.test/v2/mirror/manifests/7b", path="/manifests/")
    assert (await repository.resolve(reference)).data == MANIFEST
    assert hits(storage) == [200]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://storage.test/storage/{digest}?X-Amz-Signature=pl4nted", "from https to plain http refused"),
        ("https://169.254.169.254/latest/meta-data?pl4nted", "169.254.169.254 refused"),
        ("file:///etc/pl4nted", "leads nowhere"),
        ("https://me:pl4nted@storage.test/x", "leads nowhere"),
        ("https://[pl4nted/", "leads nowhere"),
        ("", "leads nowhere"),
    ],
)
async def test_a_redirect_into_the_dark_is_not_followed(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, url: str, words: str
) -> None:
    send(registry, url)
    with pytest.raises(Unreachable, match=words) as caught:
        await read(repository, blob)
    assert "pl4nted" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"
    assert (len(hits(registry)), hits(storage)) == (1, [])


async def test_going_in_circles_ends(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    send(registry, "/v2/team/model/blobs/{digest}?again")
    with pytest.raises(Unreachable, match="more than 5 redirects in a row"):
        await read(repository, blob)
    assert hits(registry) == [307] * 6


async def test_the_storage_gets_the_address_as_the_registry_gave_it(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "X-Amz-Credential=a%2Fb%2F&sig=x%2By%3D~(z)*'!&response-content-disposition=attachment;x"
    seen = []
    respond = storage.respond
    monkeypatch.setattr(storage, "respond", lambda request: seen.append(request.query) or respond(request))
    send(registry, f"https://storage.test/storage/{{digest}}?{query}")
    await read(repository, blob)
    assert seen == [query]
