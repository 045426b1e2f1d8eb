"""Registries that let in only whom they know: Basic and Bearer, with what docker's config.json holds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import MIB
from tests.support import golden
from tests.support.certificates import Authority
from tests.support.docker_registry import running
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Shell
from tests.support.pushing import Pusher

pytestmark = pytest.mark.fuse

ADA, PASSWORD = "ada", "pl4nted horse: battery staple"
NOT_FOUND, NOT_AUTHORISED, UNREACHABLE = 10, 11, 12
NAME = "kit-1.11-full-tar"


@pytest.fixture(scope="module")
def closed(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A reference into a docker-registry with an htpasswd file."""
    with running(docker_registry, tmp_path_factory.mktemp("closed"), users={ADA: PASSWORD}) as registry:
        pusher = Pusher(registry.host, (ADA, PASSWORD))
        blobs = {Digest.parse(digest): data for digest, data in golden.blobs(NAME).items()}
        yield pusher.push("team/full", "1", golden.manifest_bytes(NAME), blobs)
        pusher.close()


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("closed", seed=10).model("weights.bin", 2 * MIB).docs("README.md", b"# closed\n").build()


def no_secrets(shell: Shell, *secrets: str) -> None:
    """Nothing that was written in the home, but docker's own file, holds a secret."""
    for path in shell.home.rglob("*"):
        if path.is_file() and path != shell.docker_config:
            data = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in data], path


@pytest.mark.registry
def test_a_password_opens_a_real_registry(closed: str, shell: Shell) -> None:
    secret = shell.log_in(closed.partition("/")[0], ADA, PASSWORD)
    with shell.mounted(closed, "--plain-http", "-v") as mount:
        files = {entry["path"]: entry["sha256"] for entry in golden.expected(NAME) if entry["type"] == "file"}
        assert {path: golden.sha256(mount.path(path).read_bytes()) for path in files} == files
        no_secrets(shell, PASSWORD, secret)


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_password_opens_a_registry_that_asks_for(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, kind: str
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    issuer = TokenIssuer({ADA: PASSWORD})
    registry.access = Basic({ADA: PASSWORD}) if kind == "basic" else Bearer(issuer)
    reference = f"{server.host}/team/closed:1"
    assert shell.run("ls", reference).exit_code == NOT_AUTHORISED
    secret = shell.log_in(server.host, ADA, PASSWORD)
    with shell.mounted(reference, "--plain-http", "-v") as mount:
        assert wrong_files(mount.place, kit) == []
        no_secrets(shell, PASSWORD, secret, *issuer._grants)


@pytest.mark.parametrize("place", ["--authfile", "REGISTRY_AUTH_FILE", "podman", "kit"])
def test_a_login_is_found_wherever_it_is_kept(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, place: str
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    registry.access = Basic({ADA: PASSWORD})
    shell.log_in(f"{server.host}/team", ADA, PASSWORD)
    found = shell.docker_config.rename(shell.home / "logins.json")
    command: list[str | Path] = ["ls", f"{server.host}/team/closed:1", "--plain-http"]
    match place:
        case "--authfile":
            ran = shell.run(*command, "--authfile", found)
        case "REGISTRY_AUTH_FILE":
            ran = replace(shell, environment={place: str(found)}).run(*command)
        case _:
            places = {"podman": "xdg/config/containers/auth.json", "kit": ".local/share/kitops/credentials.json"}
            kept = shell.home / places[place]
            kept.parent.mkdir(parents=True)
            found.rename(kept)
            ran = shell.run(*command)
    assert (ran.exit_code, "weights.bin" in ran.stdout) == (0, True), ran


def test_a_refusal_names_every_file_that_was_searched_and_whose_they_are(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    registry.access = Basic({ADA: PASSWORD})
    shell.log_in("other.test", ADA, PASSWORD)
    ran = shell.run("ls", f"{server.host}/team/closed:1", "--plain-http")
    assert (ran.exit_code, len(ran.lines)) == (NOT_AUTHORISED, 3)
    assert f"no entry for {server.host} in {shell.docker_config}; " in ran.stderr
    for path in ("xdg/config/containers/auth.json", ".local/share/kitops/credentials.json"):
        assert str(shell.home / path) in ran.stderr
    assert f"docker login {server.host}" in ran.lines[2]
    assert "sudo" not in ran.stderr


def test_a_registry_that_lets_everybody_in_by_token_needs_no_password(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/open", "1", kit.manifest, kit.blobs)
    registry.access = Bearer(TokenIssuer(anonymous=True))
    with shell.mounted(f"{server.host}/team/open:1") as mount:
        assert wrong_files(mount.place, kit) == []


def test_a_token_that_runs_out_while_mounted_is_renewed(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    issuer = TokenIssuer({ADA: PASSWORD})
    registry.access = Bearer(issuer)
    shell.log_in(server.host, ADA, PASSWORD)
    with shell.mounted(f"{server.host}/team/closed:1", "--plain-http") as mount:
        issuer.revoke()
        assert wrong_files(mount.place, kit) == []


def test_a_password_that_changes_while_mounted_is_read_again(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    registry.access = Basic({ADA: PASSWORD})
    shell.log_in(server.host, ADA, PASSWORD)
    with shell.mounted(f"{server.host}/team/closed:1", "--plain-http") as mount:
        registry.access = Basic({ADA: "another"})
        shell.log_in(server.host, ADA, "another")
        assert wrong_files(mount.place, kit) == []


def test_a_token_for_one_repository_does_not_open_another(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    registry.access = Bearer(TokenIssuer({ADA: PASSWORD}, readers={"team/closed": frozenset({"bob"})}))
    shell.log_in(server.host, ADA, PASSWORD)
    ran = shell.run("mount", f"{server.host}/team/closed:1", shell.new_place(), "--plain-http")
    assert (ran.exit_code, len(ran.lines) <= 3) == (NOT_AUTHORISED, True), ran
    assert str(shell.docker_config) in ran.stderr


@pytest.mark.registry
def test_a_registry_with_tls_of_its_own_authority_is_believed_as_told(docker_registry: Path, shell: Shell, tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    with running(docker_registry, tmp_path / "tls", users={ADA: PASSWORD}, tls=authority.signed(tmp_path, "server")) as registry:
        reference = f"{registry.host}/a/b:c"
        shell.log_in(registry.host, ADA, PASSWORD)
        untrusted = shell.run("ls", reference, "--no-plain-http")
        assert (untrusted.exit_code, "--ca-file" in untrusted.lines[2]) == (UNREACHABLE, True)
        trusted = shell.run("ls", reference, "--no-plain-http", "--ca-file", authority.own.cert)
        assert (trusted.exit_code, trusted.lines[0]) == (
            NOT_FOUND,
            f"Error: {reference} not found: MANIFEST_UNKNOWN: manifest unknown",
        )
        unverified = shell.run("ls", reference, "--no-plain-http", "--tls-verify=false")
        assert (unverified.exit_code, "certificates are NOT verified" in unverified.lines[0]) == (NOT_FOUND, True)
        unverified = shell.run("mount", reference, shell.new_place(), "--no-plain-http", "--tls-verify=false")
        assert (unverified.exit_code, "certificates are NOT verified" in unverified.lines[0]) == (NOT_FOUND, True)
        kept = shell.home / "xdg/config/containers/certs.d" / registry.host
        kept.mkdir(parents=True)
        (kept / "ca.crt").write_bytes(authority.own.cert.read_bytes())
        assert shell.run("ls", reference, "--no-plain-http").exit_code == NOT_FOUND
