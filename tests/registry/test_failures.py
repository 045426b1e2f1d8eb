"""Registries that are not there, or are something else: what a person is told, and how soon."""

import socket
import ssl

import httpcore2
import httpx2
import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import Unreachable
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.failures import unreachable
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.retries import DEADLINE_SECONDS
from mkfs.registry.urls import Origin
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from tests.support.talking import nobody, speaking

HOST = Origin("https", "registry.test", 443)
URL = "https://registry.test/?pl4nted"


async def resolve(registry: str) -> Unreachable:
    """The error of asking `registry` for anything, over the real transport."""
    reference = Reference.parse(f"{registry}/team/model:7b")
    async with RegistryClient(ClientSettings(), Credentials.anonymous()) as client:
        with pytest.raises(Unreachable) as caught:
            await client.repository(reference).resolve(reference)
    assert len(caught.value.lines()) <= 3
    return caught.value


async def test_nobody_at_the_port_is_told_at_once() -> None:
    with nobody() as port:
        error = await resolve(f"127.0.0.1:{port}")
    assert (error.what, error.where) == ("connection refused", f"127.0.0.1:{port}")
    assert isinstance(error, Hopeless)


async def test_plain_http_where_tls_was_expected_is_told_with_the_way_out(registry: MemoryRegistry) -> None:
    with serve(registry) as server:
        async with RegistryClient(ClientSettings(), Credentials.anonymous()) as client:
            repository = client.repository(
                Reference.parse(f"0.0.0.0:{server.port}/team/model:7b")
            )  # this machine, but no loopback name
            with pytest.raises(Unreachable, match="no TLS connection") as caught:
                await repository.resolve(Reference.parse(f"0.0.0.0:{server.port}/team/model:7b"))
    assert "--plain-http" in caught.value.hint


@pytest.mark.parametrize("said", [b"220 smtp.test ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b""])
async def test_a_port_that_speaks_no_http_is_told_so(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.registry.retries.FIRST_PAUSE_SECONDS", 0)
    with speaking(said) as port:
        error = await resolve(f"127.0.0.1:{port}")
    assert "not HTTP" in error.what


async def test_a_host_that_swallows_packets_is_given_up_within_half_a_minute(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def silence(**arguments: object) -> None:
        tries.append(arguments)
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", silence)
    start = trio.current_time()
    error = await resolve("registry.test")
    assert error.what == "no connection within 10 s"
    assert trio.current_time() - start <= DEADLINE_SECONDS
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("cause", "words", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the host name cannot be resolved", Hopeless),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "the host name cannot be resolved", Unreachable),
        (OSError(113, "No route to host"), "no route to host", Unreachable),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer", Unreachable),
    ],
)
async def test_what_the_network_says_is_passed_on_in_a_few_words(
    cause: OSError, words: str, kind: type[Exception], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**arguments: object) -> None:
        raise OSError("all attempts to connect to registry.test failed") from ExceptionGroup("several", [cause])

    monkeypatch.setattr(trio, "open_tcp_stream", fail)
    error = await resolve("registry.test")
    assert (error.what, error.where, type(error)) == (words, "registry.test", kind)


def test_a_certificate_nobody_trusts_is_told_with_its_reason() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "self-signed certificate"
    error = httpcore2.ConnectError()
    error.__cause__ = trio.BrokenResourceError()
    error.__cause__.__cause__ = cause
    told = unreachable(error, HOST, seconds=25)
    assert told.what == "the certificate is not trusted (self-signed certificate)"
    assert "--ca-file" in told.hint
    assert isinstance(told, Hopeless)


@pytest.mark.parametrize(
    "error",
    [
        *(kind(URL) for kind in (httpx2.ReadError, httpx2.ProxyError, httpx2.RemoteProtocolError, httpx2.WriteTimeout)),
        *(kind(URL) for kind in (httpcore2.ReadError, httpcore2.ProxyError, httpcore2.LocalProtocolError, httpcore2.PoolTimeout)),
        httpx2.InvalidURL(URL),
        ssl.SSLError(1, URL),
        OSError(5, URL),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)  # fmt: skip
@pytest.mark.parametrize("answered", [True, False])
def test_the_words_of_a_library_are_never_passed_on(error: Exception, answered: bool) -> None:
    told = unreachable(error, HOST, seconds=25, answered=answered)
    assert "pl4nted" not in f"{told!r} {told.lines()}"
    assert told.where == "registry.test"
