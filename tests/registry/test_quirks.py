"""What registries of the field do, and that reading goes on: one switch of the test registry at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import NotAuthorised, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.answers import Request
from mkfs.testing.faults import Fault, Match
from mkfs.testing.quirks import QUIRKS, STORAGE, USERS
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from tests.support.little_model import BLOB, DATA, MANIFEST

TRIES = 3  # whoever proves bytes tries as often, and more
WANTED = [ByteRange(0, 1), ByteRange(1000, 70_000), ByteRange(len(DATA) - 5, len(DATA)), ByteRange(0, len(DATA))]


async def read(repository: Repository, blob: Descriptor, wanted: ByteRange) -> bytes:
    for tries_left in reversed(range(TRIES)):
        try:
            async with repository.open_range(blob, wanted) as stream:
                data = b"".join([piece async for piece in stream])
                return data[wanted.start - stream.range.start : wanted.stop - stream.range.start]
        except Unreachable:
            if not tries_left:
                raise
    raise AssertionError


async def everything(repository: Repository, reference: Reference, blob: Descriptor) -> None:
    """Reads what a mount reads, and checks it."""
    assert (await repository.resolve(reference)).data == MANIFEST
    await repository.head_blob(blob)
    for wanted in WANTED:
        assert await read(repository, blob, wanted) == DATA[wanted.start : wanted.stop]
    assert (await repository.read_blob(blob)).data == DATA


@pytest.mark.parametrize("name", QUIRKS)
@pytest.mark.parametrize("login", ["password", "identity token"])
async def test_reading_goes_on(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
    autojump_clock: MockClock,
    name: str,
    login: str,
) -> None:
    later = QUIRKS[name](registry, storage)
    fields = {}
    if login == "identity token" and isinstance(registry.access, Bearer):
        fields = {"identitytoken": registry.access.issuer.refresh_token("ada")}
        if "no POST" in name:  # then the token is the password, as with ACR
            registry.access.issuer._users = {"ada": fields["identitytoken"]}
        if "without GET" in name:
            fields = {}
    repository = client(Credentials.load(docker_config(pair=f"ada:{USERS['ada']}", **fields))).repository(reference)
    await everything(repository, reference, blob)
    later()
    await everything(repository, reference, blob)


@pytest.mark.parametrize(
    ("name", "path", "header", "status"),
    [
        ("manifests refuse ranges", "manifests/7b", ("range", "bytes=0-1"), 400),
        ("Nexus, If-Range", "blobs", ("if-range", '"x"'), 412),
        ("zot, no range from the end", "blobs", ("range", "bytes=-5"), 416),
        ("exact ranges only", "blobs", ("range", "bytes=5-"), 416),
        ("GCS, several ranges", "blobs", ("range", "bytes=0-1,5-6"), 400),
        ("GHCR, several ranges", "blobs", ("range", "bytes=0-1,5-6"), 501),
        ("CloudFront, several ranges", "blobs", ("range", "bytes=0-1,5-6"), 206),
    ],
)
def test_what_is_never_asked_would_be_refused(
    registry: MemoryRegistry, storage: MemoryRegistry, name: str, path: str, header: tuple[str, str], status: int
) -> None:
    """So reading through these says something."""
    QUIRKS[name](registry, storage)
    where = f"/v2/team/model/{path}{f'/{BLOB}' if path == 'blobs' else ''}"
    assert registry.respond(Request("GET", where, headers=dict([header]))).status == status
    assert registry.respond(Request("GET", where)).status == 200


async def test_a_password_of_ecr_that_ran_out_is_fetched_again(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], docker_config: Callable[..., Path], reference: Reference
) -> None:
    registry.access = Basic({"AWS": "first"})
    repository = client(Credentials.load(docker_config(pair="AWS:first"))).repository(reference)
    await repository.resolve(reference)
    registry.access = Basic({"AWS": "second"}, expired={"AWS": "first"})
    with pytest.raises(NotAuthorised, match="Your authorization token has expired"):
        await repository.resolve(reference)
    docker_config(pair="AWS:second")
    await repository.resolve(reference)


async def test_a_token_server_with_an_internal_name_is_told_by_it(
    registry: MemoryRegistry, repository: Repository, reference: Reference, autojump_clock: MockClock
) -> None:
    for realm, error in (("https://gitea.internal/token", Unreachable), ("http://gitea:3000/token", NotAuthorised)):
        registry.access = Bearer(TokenIssuer(anonymous=True, realm=realm))
        with pytest.raises(error) as caught:
            await repository.resolve(reference)
        assert "gitea" in str(caught.value)


async def test_a_400_that_means_it_costs_one_token(registry: MemoryRegistry, repository: Repository, reference: Reference) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm="https://auth.test/token"))
    await repository.resolve(reference)
    registry.log.clear()
    registry.faults.install(Fault(Match(path="/manifests/"), faults.Status(400)))
    with pytest.raises(Unreachable, match="status 400"):
        await repository.resolve(reference)
    assert [served.path.rpartition("/")[2] for served in registry.log] == ["7b", "token", "7b"]


async def test_many_readers_of_an_old_address_renew_it_once(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Redirect(STORAGE)))
    await read(repository, blob, WANTED[1])
    registry.log.clear()
    storage.faults.install(Fault(Match(), faults.Status(403), times=8))
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Delay(3)))
    got = []

    async def reader() -> None:
        async with repository.open_range(blob, WANTED[1]) as stream:
            got.append(b"".join([piece async for piece in stream]) == DATA[1000:70_000])

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(reader)
    assert got == [True] * 8
    assert len(registry.log) == 1


async def test_a_renewal_that_fails_or_is_cancelled_holds_nobody_up(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Redirect(STORAGE)))
    await read(repository, blob, WANTED[1])
    storage.faults.install(Fault(Match(), faults.Status(403), times=3))
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Withhold(), times=1))
    got = []

    async def reader() -> None:
        got.append(await read(repository, blob, WANTED[1]) == DATA[1000:70_000])

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(5):
            async with trio.open_nursery() as hasty:
                hasty.start_soon(reader)
        nursery.start_soon(reader)
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
    assert got == [True] * 2
    assert not repository._endpoints.registry.blobs._addresses._renewals
