"""Where a registry speaks the protocol, and where it may send us."""

import pytest

from mkfs.errors import NotAuthorised, Unreachable, Unsupported, UsageError
from mkfs.registry.hosts import check_parent, check_realm, check_redirect, is_private, names_of, origin_of
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
        ("https://ghcr.io", ("ghcr.io", "ghcr.io:443", "ghcr.io_443_")),
        ("https://ghcr.io:5000", ("ghcr.io:5000", "ghcr.io_5000_")),
        (
            "https://registry-1.docker.io",
            ("registry-1.docker.io", "registry-1.docker.io:443", "registry-1.docker.io_443_", "docker.io"),
        ),
        ("https://[::1]:5000", ("[::1]:5000", "[::1]_5000_")),
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


NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io", "ghcr.io:443"),
        ("ghcr.io:443", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
        ("169.254.7.7:5000", "169.254.7.7:5000"),
        ("[fe80::1]:5000", "[fe80::1]:5000"),
    ],
)
def test_an_artifact_may_refer_to_its_own_registry_whatever_its_address(child: str, parent: str) -> None:
    assert not check_parent(child, parent, NOBODY)


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("ghcr.io", "quay.io"),
        ("ghcr.io", "ghcr.io:5000"),
        ("registry.test:5000", "registry.test"),
        ("ghcr.io", "evil.ghcr.io"),
        ("localhost:5000", "127.0.0.1:5000"),
        (None, "ghcr.io"),
        (None, "localhost:5000"),
    ],
)
def test_another_registry_is_asked_only_where_it_was_allowed_by_its_name(child: str | None, parent: str) -> None:
    with pytest.raises(Unsupported, match="refers to another registry") as caught:
        check_parent(child, parent, NOBODY)
    assert caught.value.hint.endswith(f"--allow-reference-host {parent}")
    assert caught.value.exit_code == 14
    check_parent(child, parent, frozenset({parent}))
    with pytest.raises(Unsupported, match="refers to another registry"):
        check_parent(child, parent, frozenset({"elsewhere.test", parent.partition(":")[0] + ":1"}))


@pytest.mark.parametrize(
    "parent",
    [
        "169.254.169.254",
        "169.254.7.7:5000",
        "[fe80::1]:5000",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]:80",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192:80",
        "0.0.0.0:5000",
        "metadata.google.internal",
        "metadata.google.internal:443",
    ],
)
def test_no_flag_leads_to_link_local_and_metadata_addresses(parent: str) -> None:
    for child in ("ghcr.io", None):
        with pytest.raises(Unsupported, match="no address of a registry"):
            check_parent(child, parent, frozenset({parent}))


@pytest.mark.parametrize(
    ("parent", "must_be_public"),
    [
        ("ghcr.io", True),
        ("registry.intern:5000", True),  # a name may not lead into a private network …
        ("10.0.0.1:5000", False),  # … an address that was allowed as it is written may be in one
        ("localhost:5000", False),
        ("127.0.0.1:5000", False),
        ("[::1]:5000", False),
        ("[2606:4700::1]:443", False),
    ],
)
def test_private_networks_are_reached_only_by_an_address_that_was_allowed(parent: str, must_be_public: bool) -> None:
    assert check_parent("quay.io", parent, frozenset({parent})) == must_be_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "140.82.121.34"])
def test_addresses_of_everybodys_network_are_public(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize("address", ["", "no address", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:192.168.1.1", "0.0.0.0"])
def test_all_others_are_not(address: str) -> None:
    assert is_private(address)
