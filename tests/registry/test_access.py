"""Who gets in: anonymous, Basic and Bearer registries, right and wrong passwords, tokens that end."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
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
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from tests.support.little_model import DATA, MANIFEST

Client = Callable[..., RegistryClient]
Config = Callable[..., Path]
REALM = "https://auth.test/token"


def asked(registry: MemoryRegistry) -> list[tuple[str, int, bool]]:
    """Method and path's last part, status, and whether something was shown, of each request so far; forgets them."""
    seen = [
        (f"{each.method} {each.path.rpartition('/')[2][:9]}", each.status, "authorization" in each.header_names)
        for each in registry.requests()
    ]
    registry.log.clear()
    return seen


async def read(repository: Repository, blob: Descriptor) -> bytes:
    async with repository.open_range(blob, ByteRange(5, 105)) as stream:
        return b"".join([piece async for piece in stream])


async def test_an_open_registry_is_shown_nothing(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    await client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 200, False)]


async def test_a_password_is_shown_to_who_asks_for_it_and_from_then_on_at_once(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Basic({"me": "sécret:x"})
    repository = client(Credentials.load(docker_config("registry.test", "me:sécret:x"))).repository(reference)
    assert (await repository.resolve(reference)).data == MANIFEST
    assert await read(repository, blob) == DATA[5:105]
    assert asked(registry) == [("GET 7b", 401, False), ("GET 7b", 200, True), ("GET sha256:fe", 206, True)]


@pytest.mark.parametrize("pair", ["", "me:hunter2"])
@pytest.mark.parametrize("kind", ["basic", "bearer"])
async def test_a_wrong_or_missing_password_is_told_with_the_file_that_was_searched(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, kind: str, pair: str
) -> None:
    users = {"me": "pl4nted"}
    registry.access = Basic(users) if kind == "basic" else Bearer(TokenIssuer(users, realm=REALM))
    path = docker_config("registry.test", pair)
    with pytest.raises(NotAuthorised) as caught:
        await client(Credentials.load(path)).repository(reference).resolve(reference)
    what, where, hint = caught.value.lines()
    assert "refuses" in what
    searched = f"{path} has an entry for registry.test" if pair else f"no entry for registry.test in {path}"
    assert where == f"registry.test/team/model; {searched}"
    assert hint == "docker login registry.test"
    assert "hunter2" not in str(caught.value)
    assert len(asked(registry)) <= 3  # accounts are locked after a few wrong passwords


async def test_a_token_is_fetched_once_for_a_repository(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, realm=REALM))
    repository = client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference)
    await repository.resolve(reference)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(read, repository, blob)
    assert [row for row in asked(registry) if row[1] != 206] == [
        ("GET 7b", 401, False),
        ("GET token", 200, True),
        ("GET 7b", 200, True),
    ]


async def test_a_public_repository_behind_tokens_needs_no_login(
    registry: MemoryRegistry, client: Client, reference: Reference
) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM))
    await client().repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("GET token", 200, False), ("GET 7b", 200, True)]


async def test_readers_that_start_together_fetch_one_token(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, realm=REALM))
    repository = client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(read, repository, blob)
    assert [row for row in asked(registry) if row[0] == "GET token"] == [("GET token", 200, True)]


async def test_readers_that_start_together_show_a_wrong_password_once(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, realm=REALM))
    repository = client(Credentials.load(docker_config("registry.test", "me:wrong"))).repository(reference)

    async def refused() -> None:
        with pytest.raises(NotAuthorised):
            await read(repository, blob)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(refused)
    assert [row for row in asked(registry) if row[0] == "GET token"] == [("GET token", 401, True)]


async def test_an_account_that_was_opened_works_a_moment_later(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, autojump_clock: MockClock
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, realm=REALM))
    repository = client(Credentials.load(docker_config("registry.test", "you:pl4nted"))).repository(reference)
    for _ in range(20):  # whoever asks in the meantime does not put it off
        with pytest.raises(NotAuthorised):
            await repository.resolve(reference)
        await trio.sleep(0.4)
    registry.access = Bearer(TokenIssuer({"you": "pl4nted"}, realm=REALM))
    await trio.sleep(2.5)
    await repository.resolve(reference)


async def test_a_reader_that_leaves_does_not_take_the_token_from_the_others(
    registry: MemoryRegistry, client: Client, reference: Reference, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM))
    registry.faults.install(Fault(Match(path="/token"), faults.Delay(5), times=1))
    repository = client().repository(reference)
    got = []

    async def stay() -> None:
        got.append(await read(repository, blob))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(trio.sleep, 0)
            await read(repository, blob)
        nursery.start_soon(stay)
        nursery.start_soon(stay)
    assert got == [DATA[5:105]] * 2


async def test_so_it_is_where_a_token_that_was_refused_is_renewed(
    registry: MemoryRegistry, client: Client, reference: Reference, blob: Descriptor
) -> None:
    issuer = TokenIssuer(anonymous=True, realm=REALM)
    registry.access = Bearer(issuer)
    repository = client().repository(reference)
    await read(repository, blob)
    issuer.revoke()
    registry.faults.install(Fault(Match(path="/token"), faults.Withhold(), times=1))
    got = []

    async def stay() -> None:
        got.append(await read(repository, blob))

    async with trio.open_nursery() as nursery, trio.open_nursery() as leaving:
        leaving.start_soon(read, repository, blob)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(stay)
        await trio.testing.wait_all_tasks_blocked()
        leaving.cancel_scope.cancel()
    assert got == [DATA[5:105]]


@pytest.mark.parametrize(("expires_in", "fresh_seconds"), [(None, 45), (40, 30), (300, 280), (10**9, 86_380)])
async def test_a_token_is_renewed_before_it_ends(
    registry: MemoryRegistry,
    client: Client,
    reference: Reference,
    blob: Descriptor,
    autojump_clock: MockClock,
    expires_in: int | None,
    fresh_seconds: float,
) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM, expires_in_seconds=expires_in, now=trio.current_time))
    repository = client().repository(reference)
    await repository.resolve(reference)
    asked(registry)
    await trio.sleep(fresh_seconds - 1)
    await read(repository, blob)
    assert asked(registry) == [("GET sha256:fe", 206, True)]
    await trio.sleep(2)
    await read(repository, blob)
    assert asked(registry) == [("GET token", 200, False), ("GET sha256:fe", 206, True)]


async def test_a_revoked_token_costs_one_refusal(
    registry: MemoryRegistry, client: Client, reference: Reference, blob: Descriptor
) -> None:
    issuer = TokenIssuer(anonymous=True, realm=REALM)
    registry.access = Bearer(issuer)
    repository = client().repository(reference)
    await repository.resolve(reference)
    issuer.revoke()
    asked(registry)
    assert await read(repository, blob) == DATA[5:105]
    assert [status for _, status, _ in asked(registry)] == [401, 200, 206]


async def test_harbor_offers_basic_to_an_old_token_and_gets_a_new_one(
    registry: MemoryRegistry, client: Client, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM))
    repository = client().repository(reference)
    await repository.resolve(reference)
    basic = faults.Status(401, {"WWW-Authenticate": 'Basic realm="harbor"'})
    registry.faults.install(Fault(Match(path="/blobs/"), basic, times=1))
    assert await read(repository, blob) == DATA[5:105]


async def test_a_login_token_is_exchanged_for_an_access_token(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    issuer = TokenIssuer({"me": "pl4nted"}, realm=REALM)
    registry.access = Bearer(issuer)
    path = docker_config("registry.test", identitytoken=issuer.refresh_token("me"))
    await client(Credentials.load(path)).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("POST token", 200, False), ("GET 7b", 200, True)]


async def test_a_registry_token_is_shown_as_it_is(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    registry.access = Bearer(TokenIssuer(realm=REALM))
    path = docker_config("registry.test", registrytoken="given")
    with pytest.raises(NotAuthorised):
        await client(Credentials.load(path)).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("GET 7b", 401, True)]


async def test_a_rotated_password_works_without_a_new_mount(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Basic({"me": "old"})
    repository = client(Credentials.load(docker_config("registry.test", "me:old"))).repository(reference)
    await repository.resolve(reference)
    registry.access = Basic({"me": "new"})
    docker_config("registry.test", "me:new")
    assert await read(repository, blob) == DATA[5:105]


async def test_a_rotated_password_of_a_token_server_works_too(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference, blob: Descriptor
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "old"}, realm=REALM))
    repository = client(Credentials.load(docker_config("registry.test", "me:old"))).repository(reference)
    await repository.resolve(reference)
    registry.access = Bearer(TokenIssuer({"me": "new"}, realm=REALM))
    docker_config("registry.test", "me:new")
    got = []

    async def reader() -> None:
        got.append(await read(repository, blob))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(reader)
    assert got == [DATA[5:105]] * 4


async def test_a_token_that_lacks_the_repository_is_refused_by_name(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, readers={"team/model": frozenset({"you"})}, realm=REALM))
    with pytest.raises(NotAuthorised, match="the registry refuses access to team/model"):
        await client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference).resolve(reference)


async def test_forbidden_is_no_matter_of_trying_again(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    denied = faults.Status(403, body=b'{"errors":[{"code":"DENIED","message":"not in your plan"}]}')
    registry.faults.install(Fault(Match(), denied))
    with pytest.raises(NotAuthorised, match="DENIED: not in your plan"):
        await client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference).resolve(reference)
    assert len(asked(registry)) == 1


async def test_this_machine_is_shown_no_password_over_plain_http_unless_told(
    registry: MemoryRegistry, client: Client, docker_config: Config
) -> None:
    registry.access = Basic({"me": "pl4nted"})
    reference = Reference.parse("localhost:5000/team/model:7b")
    credentials = Credentials.load(docker_config("localhost:5000", "me:pl4nted"))
    with pytest.raises(NotAuthorised) as caught:
        await client(credentials).repository(reference).resolve(reference)
    assert "--plain-http" in caught.value.hint
    assert asked(registry) == [("GET 7b", 401, False)]
    await client(credentials, plain_http=True).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("GET 7b", 200, True)]


async def test_a_token_server_on_this_machine_gets_no_password_either(
    registry: MemoryRegistry, client: Client, docker_config: Config
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, anonymous=True))
    reference = Reference.parse("localhost:5000/team/model:7b")
    await client(Credentials.load(docker_config("localhost:5000", "me:pl4nted"))).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("GET token", 200, False), ("GET 7b", 200, True)]


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://auth.test/token"',
        'Bearer realm="https://169.254.169.254/token"',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm="https://me:pl4nted@auth.test/token"',
        'Bearer service="no realm"',
        'Negotiate, Digest realm="x"',
        "",
    ],
)
async def test_a_challenge_that_leads_into_the_dark_is_not_followed(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Client,
    docker_config: Config,
    reference: Reference,
    challenge: str,
) -> None:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    registry.faults.install(Fault(Match(), faults.Status(401, headers)))
    with pytest.raises(NotAuthorised):
        await client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), *([] if challenge else [("GET ", 401, False)])]
    assert not storage.requests()


async def test_of_several_challenges_the_token_is_preferred(
    registry: MemoryRegistry, client: Client, docker_config: Config, reference: Reference
) -> None:
    registry.access = Bearer(TokenIssuer({"me": "pl4nted"}, realm=REALM))
    several = faults.Status(401, {"WWW-Authenticate": f'Basic realm="a, b", Negotiate, Bearer realm="{REALM}" ,service="x"'})
    registry.faults.install(Fault(Match(path="/manifests/"), several, times=1))
    await client(Credentials.load(docker_config("registry.test", "me:pl4nted"))).repository(reference).resolve(reference)
    assert asked(registry) == [("GET 7b", 401, False), ("GET token", 200, True), ("GET 7b", 200, True)]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (faults.Status(200, body=b"{}"), Unreachable, "holds no token"),
        (faults.Status(200, body=b'{"token": "with space"}'), Unreachable, "holds no token"),
        (faults.Status(200, body=b'{"token": "a\\r\\nX-Evil: 1"}'), Unreachable, "holds no token"),
        (faults.Status(200, body=b'{"token": 7}'), Unreachable, "holds no token"),
        (faults.Status(200, body=b"<html>"), Unreachable, "no JSON of a sensible size"),
        (faults.Status(200, body=b" " * (129 << 10)), Unreachable, "no JSON of a sensible size"),
        (faults.Status(503), Unreachable, "status 503"),
        (faults.Status(302, {"Location": "https://storage.test/token"}), Unreachable, "status 302"),
        (faults.Status(403), NotAuthorised, "refuses anonymous access"),
    ],
)
async def test_a_token_server_that_makes_no_sense_is_told_apart_from_one_that_refuses(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Client,
    reference: Reference,
    autojump_clock: MockClock,
    answer: faults.Status,
    error: type[Exception],
    words: str,
) -> None:
    registry.access = Bearer(TokenIssuer(anonymous=True, realm=REALM))
    registry.faults.install(Fault(Match(path="/token"), answer))
    with pytest.raises(error, match=words):
        await client().repository(reference).resolve(reference)
    assert not storage.requests()


@pytest.mark.parametrize("token", ['"token"', '"access_token"'])
@pytest.mark.parametrize("expires", ["-5", "0", '"soon"', "true", "1e400", "null", "0.5"])
async def test_a_life_that_makes_no_sense_does_not_keep_us_out(
    registry: MemoryRegistry, client: Client, reference: Reference, autojump_clock: MockClock, token: str, expires: str
) -> None:
    challenge = faults.Status(401, {"WWW-Authenticate": f'Bearer realm="{REALM}"'})
    registry.faults.install(Fault(Match(path="/manifests/"), challenge, times=None if expires == "1e400" else 1))
    body = f'{{{token}: "t", "expires_in": {expires}}}'.encode()
    registry.faults.install(Fault(Match(path="/token"), faults.Status(200, body=body)))
    if expires == "1e400":  # no number at all in JSON that everybody reads alike
        with pytest.raises(Unreachable):
            await client().repository(reference).resolve(reference)
    else:
        await client().repository(reference).resolve(reference)
