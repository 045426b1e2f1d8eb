"""Where a registry speaks the protocol, and where it may send us."""

import pytest

from mkfs.errors import NotAuthorised, Unreachable, UsageError
from mkfs.registry.hosts import check_realm, check_redirect, names_of, origin_of
from mkfs.registry.urls import Origin, Url


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("ghcr.io", "https://ghcr.io"),
        ("registry.test:5000", "https://registry.test:5000"),
        ("docker.io", "https://registry-1.docker.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("localhost", "http://localhost"),
        ("kind.localhost:5001", "http://kind.localhost:5001"),
        ("127.0.0.2:5000", "http://127.0.0.2:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("localhost:443", "https://localhost"),
        ("notlocalhost:5000", "https://notlocalhost:5000"),
        ("localhost.evil.test", "https://localhost.evil.test"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
    ],
)
def test_only_this_machine_is_asked_in_plain_http_without_being_told(registry: str, expected: str) -> None:
    assert str(origin_of(registry, plain_http=None)) == expected


def test_tls_is_for_this_machine_too_when_asked_for() -> None:
    assert origin_of("localhost:5000", plain_http=False) == Origin("https", "localhost", 5000)


@pytest.mark.parametrize(
    ("origin", "names"),
    [
        ("https://ghcr.io", ("ghcr.io", "ghcr.io:443")),
        ("https://ghcr.io:5000", ("ghcr.io:5000",)),
        ("https://registry-1.docker.io", ("registry-1.docker.io", "registry-1.docker.io:443", "docker.io")),
        ("https://[::1]:5000", ("[::1]:5000",)),
    ],
)
def test_files_may_call_a_host_by_several_names(origin: str, names: tuple[str, ...]) -> None:
    assert names_of(Url.parse(origin).origin) == names


def test_plain_http_is_for_every_host_when_asked_for() -> None:
    assert origin_of("registry.test:5000", plain_http=True) == Origin("http", "registry.test", 5000)


def test_a_host_that_is_a_number_in_disguise_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="is not a registry"):
        origin_of("127.1:5000", plain_http=None)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("https://ghcr.io/x", "https://storage.test/x?sig"),
        ("http://registry.test/x", "http://10.0.0.7:9000/x"),  # an object store of one's own
        ("http://localhost:5000/x", "http://127.0.0.1:9000/x"),
        ("http://registry.test/x", "https://storage.test/x"),
        ("http://169.254.7.7/x", "http://169.254.7.7/y"),  # somebody wrote this host in the reference
    ],
)
def test_redirects_to_storage_are_followed(source: str, target: str) -> None:
    check_redirect(Url.parse(source), Url.parse(target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("https://ghcr.io/x", "http://storage.test/x"),
        ("https://ghcr.io/x", "http://ghcr.io/x"),
        ("http://registry.test/x", "http://169.254.169.254/latest/meta-data"),
        ("http://registry.test/x", "http://[fe80::1]/x"),
        ("http://registry.test/x", "http://[::ffff:169.254.169.254]/x"),
        ("http://registry.test/x", "http://[64:ff9b::a9fe:a9fe]/x"),
        ("http://registry.test/x", "http://[2002:a9fe:a9fe::1]/x"),
        ("http://registry.test/x", "http://[fd00:ec2::254]/x"),
        ("http://registry.test/x", "http://0.0.0.0:8080/x"),
        ("http://registry.test/x", "http://100.100.100.200/x"),
        ("http://registry.test/x", "http://Metadata.Google.Internal./x"),
    ],
)
def test_redirects_to_plain_http_or_the_machines_own_network_are_refused(source: str, target: str) -> None:
    with pytest.raises(Unreachable, match="refused"):
        check_redirect(Url.parse(source), Url.parse(target))


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io/token"),
        ("https://registry.test:5000", "https://registry.test/token"),
        ("http://localhost:5000", "http://localhost:5001/token"),
        ("https://10.0.0.1:5000", "https://10.0.0.1/token"),
        ("http://localhost:5000", "https://auth.test/token"),
    ],
)
def test_token_servers_on_https_or_on_the_registrys_own_host_are_asked(registry: str, realm: str) -> None:
    check_realm(Url.parse(registry).origin, Url.parse(realm))


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://registry.test", "http://registry.test/token"),
        ("https://registry.test", "http://auth.test/token"),
        ("http://registry.test", "http://auth.test/token"),
        ("https://registry.test", "https://127.0.0.1/token"),
        ("https://registry.test", "https://localhost/token"),
        ("https://registry.test", "https://10.1.2.3/token"),
        ("https://registry.test", "https://169.254.169.254/token"),
        ("https://registry.test", "https://[::ffff:10.1.2.3]/token"),
        ("https://registry.test", "https://metadata.google.internal/token"),
    ],
)
def test_token_servers_elsewhere_in_the_dark_are_not_asked(registry: str, realm: str) -> None:
    with pytest.raises(NotAuthorised, match="the registry names a token server"):
        check_realm(Url.parse(registry).origin, Url.parse(realm))
