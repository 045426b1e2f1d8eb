"""Whom TLS believes, and to whom it shows a certificate of ours: against Debian's docker-registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.errors import MkfsError, NotFound, Unreachable, UsageError
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.settings import TlsSettings
from mkfs.registry.trust import Trust
from mkfs.registry.urls import Origin
from tests.support.certificates import Authority
from tests.support.docker_registry import DockerRegistry, running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def registry(docker_registry: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    directory = tmp_path_factory.mktemp("registry")
    with running(docker_registry, directory, tls=authority.signed(directory, "server")) as registry:
        yield registry


async def asked(host: str, **tls: object) -> MkfsError:
    """What comes of asking for an artifact that is not there: `NotFound`, where TLS works."""
    settings = ClientSettings(plain_http=False, tls=TlsSettings(**tls))
    async with RegistryClient(settings, Credentials.anonymous()) as client:
        with pytest.raises(MkfsError) as caught:
            await client.repository(Reference.parse(f"{host}/a:b")).resolve(Reference.parse(f"{host}/a:b"))
        return caught.value


def certs_d(root: Path, host: str, *files: Path) -> str:
    directory = root / host
    directory.mkdir(parents=True)
    for file in files:
        (directory / file.name).write_bytes(file.read_bytes())
    return str(root)


@pytest.mark.registry
async def test_an_authority_nobody_knows_is_not_believed(registry: DockerRegistry) -> None:
    error = await asked(registry.host)
    assert isinstance(error, Unreachable)
    assert "the certificate is not trusted (unable to get local issuer certificate)" in error.what
    assert "--ca-file" in error.hint


@pytest.mark.registry
async def test_an_authority_that_is_named_is_believed(registry: DockerRegistry, authority: Authority) -> None:
    assert isinstance(await asked(registry.host, ca_file=str(authority.own.cert)), NotFound)


@pytest.mark.registry
async def test_an_authority_may_be_believed_for_one_host(registry: DockerRegistry, authority: Authority, tmp_path: Path) -> None:
    found = certs_d(tmp_path / "certs.d", registry.host, authority.own.cert)
    assert isinstance(await asked(registry.host, directories=(str(tmp_path / "none"), found)), NotFound)
    other = certs_d(tmp_path / "other", "127.0.0.1:1", authority.own.cert)
    assert isinstance(await asked(registry.host, directories=(other,)), Unreachable)


@pytest.mark.registry
async def test_the_first_directory_about_a_host_is_the_only_one(
    registry: DockerRegistry, authority: Authority, tmp_path: Path
) -> None:
    empty, full = certs_d(tmp_path / "1", registry.host), certs_d(tmp_path / "2", registry.host, authority.own.cert)
    assert isinstance(await asked(registry.host, directories=(full, empty)), NotFound)
    assert isinstance(await asked(registry.host, directories=(empty, full)), Unreachable)


@pytest.mark.registry
@pytest.mark.logs("TLS certificates are NOT verified")
async def test_verification_can_be_turned_off_and_is_missed_aloud(registry: DockerRegistry) -> None:
    assert isinstance(await asked(registry.host, verify=False), NotFound)


@pytest.mark.registry
@pytest.mark.parametrize(
    ("names", "expired", "reason"),
    [
        ("IP:127.0.0.2", False, "IP address mismatch"),
        ("DNS:localhost", False, "IP address mismatch"),
        ("IP:127.0.0.1", True, "has expired"),
    ],
)
async def test_a_certificate_of_somebody_else_or_of_yesterday_is_not_believed(
    docker_registry: Path, authority: Authority, tmp_path: Path, names: str, expired: bool, reason: str
) -> None:
    server = authority.signed(tmp_path, "server", names, expired=expired)
    with running(docker_registry, tmp_path / "registry", tls=server) as registry:
        error = await asked(registry.host, ca_file=str(authority.own.cert))
        assert isinstance(error, Unreachable)
        assert reason in error.what


@pytest.mark.registry
async def test_a_certificate_is_shown_to_the_registry_it_is_for(
    docker_registry: Path, authority: Authority, tmp_path: Path
) -> None:
    server = authority.signed(tmp_path, "server")
    with running(docker_registry, tmp_path / "registry", tls=server, clients=authority) as registry:
        certs_d(tmp_path / "bare", registry.host, authority.own.cert)
        error = await asked(registry.host, directories=(str(tmp_path / "bare"),))
        assert isinstance(error, Unreachable)
        assert f"/etc/containers/certs.d/{registry.host}" in error.hint
        mine = authority.signed(tmp_path / "made", "mine")
        certs_d(tmp_path / "full", registry.host, authority.own.cert, mine.cert, mine.key)
        assert isinstance(await asked(registry.host, directories=(str(tmp_path / "full"),)), NotFound)


def test_a_directory_is_about_its_host_and_port_only(tmp_path: Path) -> None:
    for name in ("registry.test", "registry.test:5000", "docker.io"):
        certs_d(tmp_path / "certs.d", name)
    trust = Trust(TlsSettings(directories=(str(tmp_path / "certs.d"),)))

    def found(authority: str) -> str:
        directory = trust.about(Origin.of("https", authority))
        return directory.name if isinstance(directory, Path) else ""

    asked_for = ("registry.test", "registry.test:443", "registry.test:5000", "registry.test:5001", "storage.registry.test")
    assert [found(authority) for authority in asked_for] == ["registry.test", "registry.test", "registry.test:5000", "", ""]
    assert found("registry-1.docker.io") == "docker.io"


def test_a_host_is_looked_up_once(tmp_path: Path) -> None:
    trust, origin = Trust(TlsSettings(directories=(str(tmp_path),))), Origin.of("https", "registry.test")
    assert trust.about(origin) is None
    certs_d(tmp_path, "registry.test")
    assert trust.about(origin) is None  # also not a hundred times a second, for every range


@contextmanager
def refused(words: str, where: Path) -> Iterator[None]:
    with pytest.raises(UsageError, match=words) as caught:
        yield
    assert str(where) in caught.value.where


def test_files_that_are_off_are_named(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.signed(tmp_path, "mine"), authority.signed(tmp_path, "other")
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("no certificate")
    for number, files in enumerate(([mine.cert], [mine.key], [wrong])):
        directory = Path(certs_d(tmp_path / str(number), "registry.test", *files)) / "registry.test"
        with refused("has no|cannot be used", directory):
            Trust(TlsSettings()).context(directory)
    directory = Path(certs_d(tmp_path / "mixed", "registry.test", mine.cert)) / "registry.test"
    (directory / "mine.key").write_bytes(other.key.read_bytes())
    with refused("does not fit its key", directory):
        Trust(TlsSettings()).context(directory)
    with refused("cannot be used", wrong):
        Trust(TlsSettings(ca_file=str(wrong))).context(None)
