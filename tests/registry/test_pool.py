"""The pool: how much it receives at once, which way it goes, and what it keeps to itself."""

import base64
import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

import httpcore2
import httpx2
import pytest

from mkfs.errors import Unreachable, UsageError
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.peers import Peers
from mkfs.registry.pool import RECEIVE_BYTES, PoolTransport
from mkfs.registry.proxies import Proxies
from mkfs.registry.retries import CONNECT_SECONDS
from mkfs.registry.settings import HostsSettings, TlsSettings
from mkfs.registry.transport import Transport
from mkfs.registry.trust import Trust
from mkfs.registry.urls import Origin, Url

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Wire(httpcore2.AsyncNetworkStream):
    """One connection that plays back its answers, one for each request."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.asked_bytes: list[int] = []
        self.written = b""
        self.secured_for = ""
        self.address: tuple[str, int] | None = None
        self.closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's
        self.asked_bytes.append(max_bytes)
        return self.answers.pop(0) if self.answers else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface's
        self.written += buffer

    async def aclose(self) -> None:
        self.closed = True

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore2.AsyncNetworkStream:
        self.secured_for = server_hostname or ""
        return self

    def get_extra_info(self, info: str) -> object:
        return self.address if info == "server_addr" else None


class Network(httpcore2.AsyncNetworkBackend):
    """Remembers who was called."""

    def __init__(self, *answers: bytes) -> None:
        self.wire = Wire(list(answers))
        self.called: list[tuple[str, int]] = []
        self.patience: list[float | None] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.called.append((host, port))
        self.patience.append(timeout)
        return self.wire


async def get(network: Network, url: str, proxies: Proxies | None = None) -> bytes:
    transport = Transport(PoolTransport(proxies or Proxies(), Trust(TlsSettings()), network))
    try:
        async with transport.ask(Url.parse(url), {}) as answer:
            return await answer.read(100)
    finally:
        await transport.aclose()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_mebibyte_is_received_at_once(scheme: str) -> None:
    network = Network(OK)
    assert await get(network, f"{scheme}://registry.test/v2/") == b"hello"
    assert set(network.wire.asked_bytes) == {RECEIVE_BYTES} == {1 << 20}
    assert network.wire.secured_for == ("registry.test" if scheme == "https" else "")


async def test_a_signed_query_goes_out_and_the_host_is_said_as_it_was_written() -> None:
    network = Network(OK)
    await get(network, "http://localhost:5000/v2/x?sig=a%2Bb~")
    assert network.called == [("localhost", 5000)]
    assert network.wire.written.startswith(b"GET /v2/x?sig=a%2Bb~ HTTP/1.1\r\nHost: localhost:5000\r\nUser-Agent: mkfs/")


async def test_an_ipv6_registry_is_called_without_its_brackets() -> None:
    network = Network(OK)
    await get(network, "http://[::1]:5000/v2/")
    assert network.called == [("::1", 5000)]
    assert b"Host: [::1]:5000\r\n" in network.wire.written


async def test_plain_http_goes_to_the_proxy_as_it_is() -> None:
    network = Network(OK)
    await get(network, "http://registry.test/v2/", Proxies(http="http://me:pl4nted@proxy.test:3128"))
    assert network.called == [("proxy.test", 3128)]
    assert network.wire.written.startswith(b"GET http://registry.test/v2/ HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pl4nted") in network.wire.written


async def test_https_goes_through_a_tunnel_and_the_proxy_sees_only_the_host() -> None:
    network = Network(b"HTTP/1.1 200 Connected\r\n\r\n", OK)
    assert await get(network, "https://registry.test/v2/?sig", Proxies(https="proxy.test:3128")) == b"hello"
    assert network.called == [("proxy.test", 3128)]
    assert network.wire.written.startswith(b"CONNECT registry.test:443 HTTP/1.1\r\n")
    assert network.wire.secured_for == "registry.test"


async def test_a_redirect_and_a_refusal_leave_the_connection_for_the_next_request() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /again\r\nContent-Length: 5\r\n\r\n"
    refused = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://localhost:5000/token"\r\nContent-Length: 2\r\n\r\n'
    token = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"token":"t"}'
    network = Network(moved, b"moved", refused, b"no", token, OK)
    reference = Reference.parse("localhost:5000/team/model:7b")
    inner = PoolTransport(Proxies(), Trust(TlsSettings()), network)
    async with RegistryClient(ClientSettings(), Credentials.anonymous(), inner=inner) as client:
        assert (await client.repository(reference).resolve(reference)).data == b"hello"
    assert network.called == [("localhost", 5000)]


def public_only() -> Peers:
    """`registry.test` must be public."""
    peers = Peers()
    peers.must_be_public(Origin.of("https", "registry.test"))
    return peers


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "fd00::1", "fe80::1%eth0", "::1", "::ffff:10.0.0.1", "100.64.0.1"],
)
async def test_a_name_that_must_be_public_and_is_not_gets_no_byte(address: str) -> None:
    network = Network(OK)
    network.wire.address = (address, 443)
    transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings()), network, peers=public_only()))
    with pytest.raises(Unreachable, match="that name leads into a private network"):
        async with transport.ask(Url.parse("https://registry.test/v2/"), {}):
            raise AssertionError("it was asked")
    assert (network.wire.written, network.wire.closed) == (b"", True)
    async with transport.ask(Url.parse("https://registry.test:5000/v2/"), {}) as answer:  # another port was not named
        assert await answer.read(100) == b"hello"
    await transport.aclose()


async def test_a_name_that_must_be_public_and_is_gets_its_request() -> None:
    network = Network(OK)
    network.wire.address = ("140.82.121.34", 443)
    transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings()), network, peers=public_only()))
    async with transport.ask(Url.parse("https://registry.test/v2/"), {}) as answer:
        assert await answer.read(100) == b"hello"
    await transport.aclose()


async def test_only_hosts_that_an_artifact_named_must_be_public() -> None:
    network = Network(OK, OK)
    network.wire.address = ("10.1.2.3", 443)
    client = RegistryClient(ClientSettings(), Credentials.anonymous())
    client._transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings()), network, peers=client._peers))
    asked, named = (Reference.parse(f"{host}.test/team/model:7b") for host in ("asked", "named"))
    async with client:
        assert (await client.repository(asked).resolve(asked)).data == b"hello"
        with pytest.raises(Unreachable, match=r"an artifact refers to named\.test"):
            await client.repository(named, must_be_public=True).resolve(named)


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ('[host."https://mirror.test"]', ["mirror.test"]),  # the node's own word
        ('server = "https://mirror.test"', ["mirror.test"]),
        ('[host."https://registry.test:5000"]', []),
        ('server = "http://registry.test"', []),
    ],
)
async def test_a_node_may_have_a_mirror_in_a_private_network_but_not_another_way_to_the_name(
    tmp_path: Path, told: str, heard: list[str]
) -> None:
    network = Network(OK)
    network.wire.address = ("10.1.2.3", 443)
    (tmp_path / "registry.test").mkdir()
    (tmp_path / "registry.test" / "hosts.toml").write_text(told)
    client = RegistryClient(ClientSettings(hosts=HostsSettings((str(tmp_path),))), Credentials.anonymous())
    client._transport = Transport(PoolTransport(Proxies(), client._trust, network, peers=client._peers))
    named = Reference.parse("registry.test/team/model:7b")
    async with client:
        repository = client.repository(named, must_be_public=True)
        if heard:
            assert (await repository.resolve(named)).data == b"hello"
            assert [host for host, _ in network.called] == heard
        else:
            with pytest.raises(Unreachable, match=r"an artifact refers to registry\.test"):
                await repository.resolve(named)
            assert network.wire.written == b""


@pytest.mark.parametrize(("told", "seconds"), [("500ms", 0.5), ("1m", CONNECT_SECONDS)])
async def test_a_mirror_is_called_as_long_as_its_file_says_and_no_longer_than_others(
    tmp_path: Path, told: str, seconds: float
) -> None:
    network = Network(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", OK)
    (tmp_path / "registry.test").mkdir()
    (tmp_path / "registry.test" / "hosts.toml").write_text(f'[host."https://mirror.test"]\ndial_timeout = "{told}"')
    client = RegistryClient(ClientSettings(hosts=HostsSettings((str(tmp_path),))), Credentials.anonymous())
    client._transport = Transport(PoolTransport(Proxies(), client._trust, network))
    reference = Reference.parse("registry.test/team/model:7b")
    async with client:
        assert (await client.repository(reference).resolve(reference)).data == b"hello"
    assert network.called == [("mirror.test", 443), ("registry.test", 443)]
    assert network.patience == [seconds, CONNECT_SECONDS]


@pytest.mark.parametrize("proxy", ["socks5://me:pl4nted@proxy.test", "http://me:pl4nted@proxy.test:port", "http://me:pl4nted@"])
async def test_a_proxy_we_cannot_speak_to_is_the_users_mistake_and_not_quoted(proxy: str) -> None:
    with pytest.raises(UsageError, match="the proxy in the environment") as caught:
        await get(Network(), "http://registry.test/v2/", Proxies(http=proxy))
    assert "pl4nted" not in "".join(caught.value.lines())


async def test_the_library_below_does_not_log_headers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await get(Network(b"HTTP/1.1 200 OK\r\nLocation: /?pl4nted\r\nContent-Length: 0\r\n\r\n"), "http://registry.test/?pl4nted")
    assert "pl4nted" not in caplog.text


async def test_certificates_are_not_loaded_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    create = httpx2.create_ssl_context
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **given: loaded.append("certificates") or create(**given))
    await get(Network(OK), "http://registry.test/")
    assert not loaded
    await get(Network(OK), "https://registry.test/")
    assert loaded == ["certificates"]
