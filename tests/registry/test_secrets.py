"""Nothing secret in what a person, a log or a bug report may see: secrets are planted everywhere, then everything is searched."""

import base64
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.errors import MkfsError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.pool import BULK_BYTES
from mkfs.testing import faults, planted
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.answers import Answer, Request
from mkfs.testing.faults import Fault, Match
from mkfs.testing.planted import PASSWORD, SIGNATURE
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.testing.tokens import TokenIssuer

USER, TOKEN = f"{planted.MARK}-user", planted.token()
NEW = Descriptor("x", Digest.of(b"new"), 3)
MANIFEST = b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"%s","size":3},"layers":[]}' % str(NEW.digest).encode()


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What a test collected; searched, together with everything logged at any level, when the test is through."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    yield texts
    everything = "\n".join([*texts, caplog.text])
    assert len(everything) > 100
    assert not planted.is_in(everything.encode())


class Echo:
    """A registry that repeats what it was shown, in full and in parts."""

    def __init__(self, status: int) -> None:
        self.status = status

    def refuse(self, request: Request, repository: str, /) -> Answer | None:
        shown = request.headers.get("authorization", "")
        words = shown
        if shown.startswith("Basic "):
            words += base64.b64decode(shown.removeprefix("Basic ")).decode()
        if not shown:
            return Basic({}).refuse(request, repository)
        said = {"errors": [{"code": "DENIED", "message": f"no entry with {words} for you"}]}
        return Answer.of_bytes(self.status, json.dumps(said).encode(), {"Warning": f'299 - "{words}", 299 - "{words[-30:]}"'})

    def token(self, request: Request, /) -> Answer | None:
        return None


async def failing(seen: list[str], client: RegistryClient, reference: Reference, blob: Descriptor) -> None:
    """Does what a mount does, and keeps all texts of all errors."""
    repository = client.repository(reference)
    seen.append(f"{client!r} {repository!r} {client.statistics()!r}")

    async def stream() -> None:
        async with repository.open_range(blob, ByteRange(5, 105)) as body:
            seen.append(f"{body!r} {body.host}")
            async for _ in body:
                pass

    work_of_all_kinds: list[Callable[[], Awaitable[object]]] = [
        lambda: repository.resolve(reference),
        lambda: repository.read_blob(blob),
        stream,
        stream,
        lambda: repository.head_blob(blob),
        lambda: repository.digest_of(reference),
        repository.tags,
        lambda: repository.referrers(blob.digest),
        lambda: repository.push_blob(NEW, b"new"),
        lambda: repository.push_manifest(MANIFEST, OCI_MANIFEST, "new"),
    ]
    for work in work_of_all_kinds:
        try:
            await work()
        except MkfsError as error:
            seen += [str(error), repr(error), *error.lines(), "".join(traceback.format_exception(error))]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_a_registry_that_repeats_a_password_is_not_quoted(
    registry: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
    seen: list[str],
    autojump_clock: MockClock,
    status: int,
) -> None:
    registry.access = Echo(status)
    credentials = Credentials.load(docker_config("registry.test", f"{USER}:{PASSWORD}"))
    seen.append(repr(credentials))
    await failing(seen, client(credentials), reference, blob)
    assert any("authorization" in each.header_names for each in registry.requests())


@pytest.mark.parametrize(
    "action",
    [
        faults.Status(401, body=f'{{"token": "{TOKEN}", "details": "{PASSWORD}"}}'.encode()),
        faults.Status(200, body=f'{{"token": "{TOKEN} with space"}}'.encode()),
        faults.Status(200, body=f'{{"token": "{TOKEN}", "token": "{TOKEN}"}}'.encode()),
        faults.Status(200, body=f"{TOKEN}".encode()),
        faults.Status(200, body=f'{{"token": "{TOKEN}"}}'.encode()),
        faults.Status(500, body=TOKEN.encode()),
        faults.Reset(None),
    ],
)
async def test_a_token_server_is_not_quoted(
    registry: MemoryRegistry,
    client: Callable[..., RegistryClient],
    docker_config: Callable[..., Path],
    reference: Reference,
    blob: Descriptor,
    seen: list[str],
    autojump_clock: MockClock,
    action: faults.Action,
) -> None:
    registry.access = Bearer(TokenIssuer({USER: "another"}, realm=f"https://auth.test/token?{SIGNATURE}"))
    registry.faults.install(Fault(Match(path="/token"), action))
    for fields in ({"pair": f"{USER}:{PASSWORD}"}, {"identitytoken": TOKEN}, {"registrytoken": TOKEN}):
        await failing(seen, client(Credentials.load(docker_config("registry.test", **fields))), reference, blob)


@pytest.mark.parametrize(
    "action",
    [
        faults.Status(403),
        faults.Status(404, body=f'{{"errors":[{{"code":"X","message":"?sig={SIGNATURE}"}}]}}'.encode()),
        faults.Status(500),
        faults.Reset(None),
        faults.Reset(10),
        faults.ShortBody(9),
        faults.WrongContentRange(),
        faults.Redirect(f"http://storage.test/{SIGNATURE}?{SIGNATURE}"),
        faults.Redirect(f"https://{USER}:{PASSWORD}@storage.test/"),
        faults.Redirect(f"https://nowhere.test/?{SIGNATURE}"),
        faults.Stall(5),
        faults.Flip(7),
    ],
)
async def test_a_signed_address_is_shown_to_nobody(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Callable[..., RegistryClient],
    reference: Reference,
    blob: Descriptor,
    seen: list[str],
    autojump_clock: MockClock,
    action: faults.Action,
) -> None:
    signed = f"https://storage.test/storage/{{digest}}?X-Amz-Credential={USER}&X-Amz-Signature={SIGNATURE}"
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Redirect(signed)))
    storage.faults.install(Fault(Match(), action))
    await failing(seen, client(), reference, blob)


@pytest.mark.parametrize("action", [faults.Status(403), faults.Status(500), faults.Reset(None)])
async def test_a_signed_place_for_an_upload_is_shown_to_nobody(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Callable[..., RegistryClient],
    reference: Reference,
    blob: Descriptor,
    seen: list[str],
    autojump_clock: MockClock,
    action: faults.Action,
) -> None:
    registry.uploads.place = f"https://storage.test/v2/x/blobs/uploads/{{id}}?sig={SIGNATURE}"
    storage.faults.install(Fault(Match(), action))
    await failing(seen, client(), reference, blob)
    assert [served.method for served in storage.log]


@pytest.mark.parametrize("bulk_bytes", [BULK_BYTES, 1], ids=["pool", "lane"])
async def test_the_real_connections_say_nothing_either(
    registry: MemoryRegistry,
    docker_config: Callable[..., Path],
    blob: Descriptor,
    seen: list[str],
    monkeypatch: pytest.MonkeyPatch,
    bulk_bytes: int,
) -> None:
    monkeypatch.setattr("mkfs.registry.pool.BULK_BYTES", bulk_bytes)
    registry.access = Basic({USER: PASSWORD})
    with serve(registry) as server:
        redirect = faults.Redirect(f"/storage/{{digest}}?{SIGNATURE}")
        registry.faults.install(Fault(Match(path="/blobs/", nth=2), redirect))
        credentials = Credentials.load(docker_config(server.host, f"{USER}:{PASSWORD}"))
        async with RegistryClient(ClientSettings(plain_http=True), credentials) as client:
            reference = Reference.parse(f"{server.host}/team/model:7b")
            await failing(seen, client, reference, blob)
            await failing(seen, client, Reference.parse(f"{server.host}/team/none:7b"), blob)
    assert any(each.path.startswith("/storage") for each in registry.requests())
