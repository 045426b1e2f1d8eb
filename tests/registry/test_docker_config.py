"""docker's config.json as docker, podman, oras and kit write it."""

import base64
import json

import pytest

from mkfs.errors import BadDocument
from mkfs.registry.docker_config import Credential, DockerConfig, server_of


def parse(**document: object) -> DockerConfig:
    return DockerConfig.parse(json.dumps(document).encode())


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("registry.test:5000", "registry.test:5000"),
        ("https://registry.test", "registry.test"),
        ("http://registry.test/v2/", "registry.test"),
        ("Registry.Test", "registry.test"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_an_entry_is_found_under_every_form_of_its_key(key: str, registry: str) -> None:
    assert parse(auths={key: {"auth": packed("me:pl4nted")}}).credential(registry) == Credential("me", "pl4nted")


@pytest.mark.parametrize(
    ("repository", "password"),
    [("team/model", "model"), ("team/model/draft", "model"), ("team/models", "team"), ("team", "team"), ("teams/model", "all")],
)
def test_the_entry_nearest_to_the_repository_counts(repository: str, password: str) -> None:
    entries = {"registry.test": "all", "registry.test/team": "team", "Registry.test/team/model/": "model", "other.test/team": "no"}
    config = parse(auths={key: {"auth": packed(f"me:{value}")} for key, value in entries.items()})
    assert config.credential("registry.test", repository) == Credential("me", password)


def test_an_entry_for_one_repository_is_not_for_the_others() -> None:
    config = parse(auths={"docker.io/team/model": {"auth": packed("me:pl4nted")}, "b.test/v1/": {"auth": packed("me:old")}})
    assert config.credential("docker.io", "team/model") == Credential("me", "pl4nted")
    assert config.credential("docker.io", "team") is None
    assert config.credential("docker.io") is None
    assert config.credential("b.test", "v2/model") == Credential("me", "old")


@pytest.mark.parametrize("other", ["registry.test", "registry.test:5001", "test", "evil.registry.test"])
def test_an_entry_is_for_its_host_and_port_only(other: str) -> None:
    assert parse(auths={"registry.test:5000": {"auth": packed("me:pl4nted")}}).credential(other) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": packed("me:a:b")}, Credential("me", "a:b")),
        ({"auth": packed("me:pl4nted\0\0")}, Credential("me", "pl4nted")),
        ({"username": "me", "password": "pl4nted"}, Credential("me", "pl4nted")),
        ({"auth": packed("00000000-0000-0000-0000-000000000000:"), "identitytoken": "it"}, None),
        ({"registrytoken": "rt"}, Credential(registry_token="rt")),
    ],
)
def test_an_entry_holds_a_password_or_a_token(entry: dict[str, str], expected: Credential | None) -> None:
    found = parse(auths={"registry.test": entry}).credential("registry.test")
    assert found == (expected or Credential("00000000-0000-0000-0000-000000000000", "", "it"))


@pytest.mark.parametrize(
    "entry",
    [{}, *({"auth": text} for text in ("", "%%%", "ü", packed("no colon"), packed(":pw"))), {"auth": 7}, [], None, "x"],
)
def test_an_entry_that_makes_no_sense_does_not_hide_the_others(entry: object) -> None:
    config = parse(auths={"bad.test": entry, "registry.test": {"auth": packed("me:pl4nted")}})
    assert config.credential("bad.test") is None
    assert config.credential("registry.test") == Credential("me", "pl4nted")


def test_the_plain_host_wins_over_a_url_of_it() -> None:
    old, new = {"auth": packed("me:old")}, {"auth": packed("me:new")}
    for auths in (
        {"https://registry.test/v1/": old, "registry.test": new},
        {"registry.test": new, "https://registry.test/v1/": old},
    ):
        assert parse(auths=auths).credential("registry.test") == Credential("me", "new")


def test_a_helper_of_its_own_wins_over_the_store() -> None:
    config = parse(credHelpers={"public.ecr.aws": "ecr-login"}, credsStore="desktop")
    assert config.helper("public.ecr.aws") == "ecr-login"
    assert config.helper("registry.test") == "desktop"
    assert parse().helper("registry.test") == ""
    assert (server_of("docker.io"), server_of("ghcr.io")) == ("https://index.docker.io/v1/", "ghcr.io")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"auths": {"a.test": {"auth": "c2VjcmV0"}}', b"\xff", b"{}" + b" " * (1 << 20)]
)
def test_a_file_that_is_no_config_is_told_without_its_content(data: bytes) -> None:
    with pytest.raises(BadDocument) as caught:
        DockerConfig.parse(data)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_credential_shows_nothing_of_itself() -> None:
    config = parse(auths={"registry.test": {"auth": packed("me:pl4nted"), "identitytoken": "pl4nted", "registrytoken": "pl4nted"}})
    assert "pl4nted" not in f"{config!r} {config.credential('registry.test')!r}"
    assert "me" not in repr(config.credential("registry.test")).removeprefix("Credential")
