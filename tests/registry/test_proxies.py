"""Which proxy a request goes through."""

import pytest

from mkfs.registry.proxies import Proxies
from mkfs.registry.urls import Url

PROXY = "http://proxy.test:3128"


def chosen(environment: dict[str, str], url: str) -> str:
    return Proxies.from_environment(environment).for_origin(Url.parse(url).origin)


def test_each_scheme_has_its_proxy() -> None:
    environment = {"HTTP_PROXY": "http://one:1", "https_proxy": "two:2", "ALL_PROXY": "http://three:3"}
    assert chosen(environment, "http://a.test") == "http://one:1"
    assert chosen(environment, "https://a.test") == "http://two:2"
    assert chosen({"ALL_PROXY": PROXY}, "https://a.test") == PROXY
    assert chosen({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, "https://a.test") == PROXY
    assert chosen({}, "https://a.test") == ""


@pytest.mark.parametrize("exceptions", ["*", "a.test", ".a.test", "*.a.test", "x.test, A.test", "r.a.test:443"])
def test_hosts_below_an_exception_are_asked_directly(exceptions: str) -> None:
    assert chosen({"https_proxy": PROXY, "NO_PROXY": exceptions}, "https://r.a.test") == ""


@pytest.mark.parametrize("exceptions", ["", "b.test", "ra.test", "r.a.test:5000", "10.0.0.0/8", "r"])
def test_other_hosts_are_not(exceptions: str) -> None:
    assert chosen({"https_proxy": PROXY, "NO_PROXY": exceptions}, "https://r.a.test") == PROXY


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5001", "[fd00::1]:5000", False),
        ("fd00::1", "[fd00::1]:5000", True),
        ("not/a/network", "10.1.2.3", False),
    ],
)
def test_exceptions_may_be_addresses_and_networks(exceptions: str, host: str, direct: bool) -> None:
    assert (chosen({"https_proxy": PROXY, "no_proxy": exceptions}, f"https://{host}") == "") is direct


def test_this_machine_is_never_asked_through_a_proxy() -> None:
    assert chosen({"http_proxy": PROXY}, "http://localhost:5000") == ""


def test_a_password_of_a_proxy_stays_inside() -> None:
    assert "pl4nted" not in repr(Proxies.from_environment({"https_proxy": "http://me:pl4nted@proxy.test"}))
