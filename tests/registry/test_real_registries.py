"""The same reads of registries that are not ours, side by side: Debian's docker-registry in each of its ways, crane's and ggcr's,
distribution 3 where it is given (scripts/install-distribution), zot where its binary is; and of the layout directories that oras
and crane write.
"""

import base64
import http.client
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest
import trio

from mkfs.errors import NotAuthorised, NotFound
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.layout import AnyRepository, Layout
from mkfs.registry.repository import Repository
from mkfs.registry.settings import TlsSettings
from mkfs.testing.bodies import SeededBody, digest_of
from mkfs.testing.jwt import JwtDoor
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import MIB
from tests.support import docker_registry
from tests.support.attached import EMPTY, EMPTY_BLOB
from tests.support.certificates import Authority
from tests.support.crane_registry import crane_serving, ggcr_serving
from tests.support.file_server import FileServer, file_server
from tests.support.processes import listening
from tests.support.zot import zot_serving

ADA, PASSWORD = "ada", "pl4nted horse"
BODY: Final = SeededBody(seed=21, size_bytes=5 * MIB + 123)
BLOB: Final = Descriptor("application/octet-stream", digest_of(BODY), BODY.size_bytes)
MANIFEST: Final = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": EMPTY_BLOB.media_type, "digest": str(EMPTY_BLOB.digest), "size": len(EMPTY)},
        "layers": [{"mediaType": BLOB.media_type, "digest": str(BLOB.digest), "size": BLOB.size_bytes}],
    }
).encode()
DIGEST: Final = Digest.of(MANIFEST)


@dataclass(frozen=True)
class World:
    """A registry to read from, and the one to push to, if that is another; or a layout directory, which was written already."""

    host: str
    settings: ClientSettings = ClientSettings()  # noqa: RUF009 - a frozen value
    logins: Path | None = None
    upstream: str = ""
    storage: FileServer | None = None
    layout: Path | None = None

    @asynccontextmanager
    async def opened(self, host: str = "", *, logins: Path | None = None) -> AsyncIterator[AnyRepository]:
        if self.layout is not None:
            yield Layout(self.layout)
            return
        found = logins or self.logins
        credentials = Credentials.load(found) if found else Credentials.anonymous()
        async with RegistryClient(self.settings, credentials) as client:
            yield client.repository(Reference.parse(f"{host or self.host}/team/model:7b"))

    def name(self, tag: str | None = None, digest: Digest | None = None) -> Reference:
        return Reference(self.host, "team/model" if self.layout is None else str(self.layout), tag, digest)


Maker = Callable[[Path, Path, ExitStack], World]


def plain(program: Path, directory: Path, stack: ExitStack) -> World:
    return World(stack.enter_context(docker_registry.running(program, directory / "plain")).host)


def logins(directory: Path, host: str, password: str = PASSWORD) -> Path:
    path = directory / f"logins-{host.replace(':', '-')}.json"
    path.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(f"{ADA}:{password}".encode()).decode()}}}))
    return path


def with_htpasswd(program: Path, directory: Path, stack: ExitStack) -> World:
    host = stack.enter_context(docker_registry.running(program, directory / "htpasswd", users={ADA: PASSWORD})).host
    return World(host, ClientSettings(plain_http=True), logins(directory, host))


def with_tls(program: Path, directory: Path, stack: ExitStack) -> World:
    authority = Authority.new(directory)
    server = authority.signed(directory, "server")
    host = stack.enter_context(docker_registry.running(program, directory / "tls", users={ADA: PASSWORD}, tls=server)).host
    settings = ClientSettings(plain_http=False, tls=TlsSettings(ca_file=str(authority.own.cert)))
    return World(host, settings, logins(directory, host))


def with_tokens(program: Path, directory: Path, stack: ExitStack) -> World:
    """Its tokens come from an issuer of ours, signed by the real openssl."""
    issuer = Authority.new(directory, "issuer", kind="rsa:2048").own
    der = subprocess.run(["openssl", "x509", "-in", issuer.cert, "-outform", "DER"], check=True, capture_output=True).stdout

    def sign(text: bytes) -> bytes:
        command = ["openssl", "dgst", "-sha256", "-sign", issuer.key, "-binary"]
        return subprocess.run(command, input=text, check=True, capture_output=True).stdout

    door = stack.enter_context(serve(MemoryRegistry(JwtDoor({ADA: PASSWORD}, sign, der))))
    said = {"service": "registry.test", "issuer": "issuer.test", "rootcertbundle": str(issuer.cert)}
    auth: dict[str, object] = {"token": {"realm": f"{door.url}/token", **said}}
    host = stack.enter_context(docker_registry.running(program, directory / "token", auth=auth)).host
    return World(host, ClientSettings(plain_http=True), logins(directory, host))


def with_redirects(program: Path, directory: Path, stack: ExitStack) -> World:
    kept = directory / "redirects" / "storage"
    storage = stack.enter_context(file_server(kept))
    host = stack.enter_context(
        docker_registry.running(program, directory / "redirects", users={ADA: PASSWORD}, redirect_to=storage.url)
    ).host
    return World(host, ClientSettings(plain_http=True), logins(directory, host), storage=storage)


def as_proxy(program: Path, directory: Path, stack: ExitStack) -> World:
    upstream = stack.enter_context(docker_registry.running(program, directory / "upstream")).host
    host = stack.enter_context(docker_registry.running(program, directory / "proxy", proxy_of=f"http://{upstream}")).host
    return World(host, upstream=upstream)


def with_s3(program: Path, directory: Path, stack: ExitStack) -> World:
    """Its blobs are in an S3 emulator, where it sends us with a signed address."""
    moto = [Path(os.environ["MOTO"]).absolute(), "-H", "127.0.0.1", "-p", "0"]
    port = stack.enter_context(listening(moto, re.compile("Running on http://127.0.0.1:([0-9]+)")))
    bucket = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    bucket.request("PUT", "/models")
    assert bucket.getresponse().status == HTTPStatus.OK
    bucket.close()
    keys = {"accesskey": "an id", "secretkey": "pl4nted key", "region": "us-east-1", "bucket": "models", "forcepathstyle": True}
    storage: dict[str, object] = {"s3": {**keys, "regionendpoint": f"http://127.0.0.1:{port}", "secure": False}}
    host = stack.enter_context(docker_registry.running(program, directory / "s3", storage=storage)).host
    return World(host)


WAYS: Final[dict[str, Maker]] = {
    "plain": plain,
    "htpasswd": with_htpasswd,
    "TLS": with_tls,
    "token": with_tokens,
    "redirects": with_redirects,
    "proxy": as_proxy,
    "S3": with_s3,
}


def by_oras(oras: Path, source: str, root: Path) -> None:
    subprocess.run([oras, "cp", "--from-plain-http", f"{source}:7b", "--to-oci-layout", f"{root}:7b,latest"], check=True)


def by_crane(crane: Path, source: str, root: Path) -> None:
    """It writes whole references where oras writes tags."""
    for tag in ("7b", "latest"):
        subprocess.run([crane, "pull", "--insecure", "--format", "oci", "--annotate-ref", f"{source}:{tag}", root], check=True)


WRITERS: Final[dict[str, Callable[[Path, str, Path], None]]] = {"oras": by_oras, "crane": by_crane}


def as_layout(writer: str, program: Path, source: World, directory: Path) -> World:
    """What a tool makes of what is in a registry."""
    trio.run(push, source)
    WRITERS[writer](program, f"{source.host}/team/model", directory / "layout")
    return World("", layout=directory / "layout")


_GIVEN: Final = {"S3": [pytest.mark.given("MOTO")]}


def _kinds(*ways: str) -> list[object]:
    distribution = pytest.mark.given("DISTRIBUTION")
    return [
        *(pytest.param(("docker_registry", way), id=f"docker-registry, {way}", marks=_GIVEN.get(way, [])) for way in ways),
        *(
            pytest.param(("distribution", way), id=f"distribution 3, {way}", marks=[distribution, *_GIVEN.get(way, [])])
            for way in ways
        ),
    ]


CLOSED: Final = _kinds("htpasswd", "TLS", "token", "redirects")
REDIRECTING: Final = _kinds("redirects")
KINDS: Final = [
    *_kinds(*WAYS),
    pytest.param(("crane", ""), id="crane", marks=pytest.mark.crane),
    pytest.param(("ggcr_registry", ""), id="ggcr", marks=pytest.mark.crane),
    pytest.param(("zot", ""), id="zot", marks=pytest.mark.given("ZOT")),
    *(pytest.param(("layout", tool), id=f"layout, written by {tool}", marks=getattr(pytest.mark, tool)) for tool in WRITERS),
]

pytestmark = pytest.mark.registry


@pytest.fixture(scope="module")
def distribution() -> Path:
    return Path(os.environ["DISTRIBUTION"]).absolute()


@pytest.fixture(scope="module")
def zot() -> Path:
    return Path(os.environ["ZOT"]).absolute()


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    kind, way = request.param
    program = request.getfixturevalue(way if kind == "layout" else kind)
    directory = tmp_path_factory.mktemp("registry")
    with ExitStack() as stack:
        match kind:
            case "crane":
                world = World(stack.enter_context(crane_serving(program, directory)))
            case "ggcr_registry":
                world = World(stack.enter_context(ggcr_serving(program, directory)))
            case "zot":
                world = World(stack.enter_context(zot_serving(program, directory)))
            case "layout":
                source = plain(request.getfixturevalue("docker_registry"), directory, stack)
                world = as_layout(way, program, source, directory)
            case _:
                world = WAYS[way](program, directory, stack)
        if world.layout is None:
            trio.run(push, world)
        yield world


async def push(world: World) -> None:
    async with world.opened(world.upstream) as repository:
        assert isinstance(repository, Repository)
        await repository.push_blob(EMPTY_BLOB, EMPTY)
        await repository.push_blob(BLOB, BODY.read(ByteRange(0, BODY.size_bytes)))
        for tag in ("7b", "latest"):
            assert await repository.push_manifest(MANIFEST, OCI_MANIFEST, tag) == DIGEST


async def read(repository: AnyRepository, wanted: ByteRange) -> str:
    """Reads a range, checks it, and tells who sent it."""
    async with repository.open_range(BLOB, wanted) as stream:
        data = b"".join([piece async for piece in stream])
        assert stream.range in (wanted, ByteRange(0, BLOB.size_bytes))
        assert data[wanted.start - stream.range.start :][: wanted.length] == BODY.read(wanted)
        return stream.host


async def test_ranges_bring_their_bytes(world: World) -> None:
    """First of all, so that a proxy is cold."""
    async with world.opened() as repository, trio.open_nursery() as nursery:
        for start in range(0, BLOB.size_bytes, MIB):
            nursery.start_soon(read, repository, ByteRange(start, min(start + MIB, BLOB.size_bytes)))
    async with world.opened() as repository:
        for wanted in (ByteRange(0, 1), ByteRange(BLOB.size_bytes - 1, BLOB.size_bytes), ByteRange(0, BLOB.size_bytes)):
            await read(repository, wanted)
        assert (await repository.read_blob(BLOB)).digest == BLOB.digest


async def test_tags_and_digests_are_resolved(world: World) -> None:
    async with world.opened() as repository:
        for reference in (world.name("7b"), world.name(None, DIGEST), world.name("7b", DIGEST)):
            found = await repository.resolve(reference)
            assert (found.digest, found.data, found.media_type) == (DIGEST, MANIFEST, OCI_MANIFEST)
        assert await repository.digest_of(world.name("latest")) == DIGEST


async def test_tags_are_listed(world: World) -> None:
    async with world.opened() as repository:
        assert set(await repository.tags()) == {"7b", "latest"}


async def test_what_is_there_is_known_and_what_is_not_is_told(world: World) -> None:
    missing = Descriptor("x", Digest.of(b"missing"), 7)
    async with world.opened() as repository:
        await repository.head_blob(BLOB)
        with pytest.raises(NotFound):
            await repository.head_blob(missing)
        with pytest.raises(NotFound):
            await repository.resolve(world.name("none"))
        assert await repository.referrers(DIGEST) == ()


@pytest.mark.parametrize("world", CLOSED, indirect=True)
async def test_who_may_not_in_is_told_how(world: World, tmp_path: Path) -> None:
    for wrong in (logins(tmp_path, world.host, "wrong"), logins(tmp_path, "other.test")):
        async with world.opened(logins=wrong) as repository:
            with pytest.raises(NotAuthorised) as caught:
                await repository.resolve(world.name("7b"))
            assert caught.value.hint == f"docker login {world.host}"
            assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("world", REDIRECTING, indirect=True)
async def test_storage_hosts_see_no_password(world: World) -> None:
    assert world.storage is not None
    async with world.opened() as repository:
        await read(repository, ByteRange(5, 105))
    assert world.storage.paths
    assert not world.storage.with_credentials


@pytest.mark.parametrize("world", _kinds("S3"), indirect=True)
async def test_a_signed_address_is_asked_directly_from_then_on(world: World) -> None:
    async with RegistryClient(world.settings, Credentials.anonymous()) as client:
        repository = client.repository(world.name("7b"))
        for number in range(5):
            assert await read(repository, ByteRange(number, number + 100)) != world.host
        assert (client.statistics().requests, client.statistics().redirects) == (6, 1)


@pytest.mark.crane
@pytest.mark.logs("127.0.0.1:[0-9]+ warns: this registry ends tomorrow")
async def test_what_a_registry_warns_of_is_passed_on_once(
    ggcr_registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ggcr_serving(ggcr_registry, tmp_path, "this registry ends tomorrow") as host:
        await push(World(host))
    assert len(caplog.messages) == 1
