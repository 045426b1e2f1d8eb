"""The bulk lane: long ranges on connections of our own, over real sockets; whatever it is answered, it ends as the pool would."""

import itertools
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore2
import pytest
import trio
from trio.testing import MockClock

from mkfs.content.receive import receive as receive_all
from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.peers import Peers
from mkfs.registry.pool import BULK_BYTES, PoolTransport
from mkfs.registry.proxies import Proxies
from mkfs.registry.repository import Repository
from mkfs.registry.settings import HostsSettings, TlsSettings
from mkfs.registry.transport import Transport
from mkfs.registry.trust import HostTls, Trust
from mkfs.registry.urls import Origin, Url
from mkfs.testing import faults
from mkfs.testing.access import Basic
from mkfs.testing.bodies import SeededBody
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import MIB
from tests.support.little_model import BLOB, DATA, MANIFEST
from tests.support.mounting import wait_for
from tests.support.talking import speaking
from tests.support.wrong_answers import WANTED, WRONG_ANSWERS

HANG_SECONDS = 20  # of real time: beyond it something waits for ever
BODY = SeededBody(4, BULK_BYTES).read(ByteRange(0, BULK_BYTES))
LONG = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4194303/4194304\r\nContent-Length: 4194304\r\n\r\n" + BODY


@pytest.fixture(autouse=True)
def _short_ranges_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.registry.pool.BULK_BYTES", 1000)


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Everybody who connected to a registry."""
    found: list[object] = []
    accept = RegistryServer.get_request

    def count(server: RegistryServer) -> object:
        connection = accept(server)
        found.append(connection)
        return connection

    monkeypatch.setattr(RegistryServer, "get_request", count)
    return found


@contextmanager
def asking(registry: MemoryRegistry) -> Iterator[tuple[RegistryClient, Repository]]:
    """A client of `registry`, over sockets, whose pool may serve no range."""
    with serve(registry) as server, trio.fail_after(HANG_SECONDS):
        client = RegistryClient(ClientSettings(), Credentials.anonymous())
        yield client, client.repository(Reference.parse(f"localhost:{server.port}/team/model:7b"))


async def receive(repository: Repository, blob: Descriptor, wanted: ByteRange = WANTED, *, step: int = 1 << 20) -> bytes:
    """The bytes of `wanted`, received into memory `step` bytes at a time."""
    async with repository.open_range(blob, wanted) as stream:
        memory, done = memoryview(bytearray(stream.range.length)), 0
        while done < len(memory):
            done += await stream.receive_into(memory[done : done + step])
        return bytes(memory[wanted.start - stream.range.start :][: wanted.length])


async def heard(transport: Transport, url: str) -> bytes:
    """The body of a 206 from `url`."""
    async with transport.ask(Url.parse(url), {"Range": f"bytes=0-{BULK_BYTES - 1}"}) as answer:
        assert answer.status == 206
        memory, done = memoryview(bytearray(BULK_BYTES + 1)), 0
        while count := await answer.receive_into(memory[done:]):
            done += count
        return bytes(memory[:done])


async def test_long_ranges_come_one_after_another_over_one_connection(
    registry: MemoryRegistry, blob: Descriptor, callers: list[object]
) -> None:
    with asking(registry) as (client, repository):
        async with client:
            for step in (1, 4096, 1 << 20)[::-1]:
                wanted = ByteRange(7, 7 + min(150_000, 2000 * step))
                assert await receive(repository, blob, wanted, step=step) == DATA[wanted.start : wanted.stop]
            assert (client.statistics().answers, client.statistics().requests) == (0, 3)
            assert client.statistics().received_bytes == registry.bytes_sent(BLOB)
        assert len(callers) == 1


async def test_who_follows_hears_of_every_mebibyte_in_the_thread_that_received_it() -> None:
    transport, heard_of = Transport(PoolTransport(Proxies(), Trust(TlsSettings()))), []
    with speaking(LONG) as port, trio.fail_after(HANG_SECONDS):
        async with transport.ask(Url.parse(f"http://127.0.0.1:{port}/"), {"Range": f"bytes=0-{BULK_BYTES - 1}"}) as answer:
            memory, done = memoryview(bytearray(BULK_BYTES)), 0

            def follow(count: int) -> None:
                right = memory[: done + count] == BODY[: done + count]
                heard_of.append((done + count, right, threading.current_thread() is threading.main_thread()))

            while done < BULK_BYTES:
                done += await answer.receive_into(memory[done:], follow)
        await transport.aclose()
    counts = [count for count, _, _ in heard_of]
    assert counts[-1] == BULK_BYTES
    assert all(0 < there - here <= MIB for here, there in itertools.pairwise(counts))
    assert {(right, on_the_loop) for _, right, on_the_loop in heard_of} == {(True, False)}


async def test_only_long_ranges_take_the_lane(
    registry: MemoryRegistry, callers: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mkfs.registry.pool.BULK_BYTES", BULK_BYTES)
    body = SeededBody(3, BULK_BYTES + 1)
    long = Descriptor("x", Digest.of(body.read(ByteRange(0, body.size_bytes))), body.size_bytes)
    registry.push("team/model", None, MANIFEST, {long.digest: body})
    with asking(registry) as (client, repository):
        async with client:
            for wanted, connections in ((ByteRange(0, BULK_BYTES - 1), 1), (ByteRange(1, BULK_BYTES + 1), 2), (ByteRange(1, 9), 2)):
                assert await receive(repository, long, wanted) == body.read(wanted)
                assert len(callers) == connections


async def test_a_long_range_goes_through_the_proxy_where_there_is_one() -> None:
    called = []

    class Network(httpcore2.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, port: int, **options: object) -> httpcore2.AsyncNetworkStream:
            called.append(host)
            raise httpcore2.ConnectError

    inner = PoolTransport(Proxies(http="http://proxy.test:3128"), Trust(TlsSettings()))
    inner._backend = Network()
    transport = Transport(inner)
    with pytest.raises(Unreachable):
        async with transport.ask(Url.parse("http://registry.test/v2/"), {"Range": "bytes=0-99999"}):
            pass
    await transport.aclose()
    assert called == ["proxy.test"]


@pytest.mark.parametrize(("actions", "words"), WRONG_ANSWERS)
async def test_an_answer_that_is_not_exactly_what_was_asked_for_is_no_answer_here_either(
    registry: MemoryRegistry, blob: Descriptor, monkeypatch: pytest.MonkeyPatch, actions: list[faults.Action], words: str
) -> None:
    installed = [registry.faults.install(Fault(Match(), action)) for action in actions]
    with asking(registry) as (client, repository):
        async with client:
            with monkeypatch.context() as hasty:
                if "no byte for" in words:  # the others, and the right answer below, come as fast as the machine can
                    hasty.setattr("mkfs.registry.answer.STALL_SECONDS", 0.1)
                    hasty.setattr("mkfs.registry.exchange.ANSWER_SECONDS", 0.1)
                with pytest.raises(Unreachable, match=re.sub("no byte for [0-9]+", "no byte for 0", words)):
                    await receive(repository, blob)
            await trio.to_thread.run_sync(wait_for, lambda: bool(registry.requests()))  # it may be given up before it is there
            assert len(registry.requests()) == 1
            for fault in installed:
                registry.faults.mend(fault)
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
            assert client.statistics().answers == 0


@pytest.mark.parametrize("action", [faults.IgnoreRange(), faults.NoContentLength()])
async def test_other_bodies_that_are_legal_come_right_as_well(
    registry: MemoryRegistry, blob: Descriptor, action: faults.Action
) -> None:
    registry.faults.install(Fault(Match(), action))
    with asking(registry) as (client, repository):
        async with client:
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]


@pytest.mark.parametrize("break_", [faults.Reset(5000), faults.ShortBody(5000)])
async def test_what_came_before_a_break_is_not_asked_for_again(
    registry: MemoryRegistry, blob: Descriptor, break_: faults.Action
) -> None:
    registry.faults.install(Fault(Match(), break_, times=3))
    with asking(registry) as (client, repository):
        async with client:
            memory = memoryview(bytearray(WANTED.length))
            await receive_all(repository, blob, WANTED, memory)
            assert memory == DATA[WANTED.start : WANTED.stop]
    assert [each.sent_bytes for each in registry.requests()] == [5000, 5000, 5000, WANTED.length - 15_000]


async def test_a_password_stays_with_the_registry_when_the_blob_is_elsewhere(
    registry: MemoryRegistry, storage: MemoryRegistry, blob: Descriptor, docker_config: Callable[..., Path], callers: list[object]
) -> None:
    registry.access = Basic({"me": "pl4nted"})
    with serve(registry) as server, serve(storage) as elsewhere, trio.fail_after(HANG_SECONDS):
        redirect = faults.Redirect(f"{elsewhere.url}/storage/{{digest}}?signature")
        registry.faults.install(Fault(Match(path="/blobs/"), redirect))
        credentials = Credentials.load(docker_config(server.host, "me:pl4nted"))
        async with RegistryClient(ClientSettings(plain_http=True), credentials) as client:
            reference = Reference.parse(f"{server.host}/team/model:7b")
            repository = client.repository(reference)
            await repository.resolve(reference)  # signs in
            registry.log.clear()
            callers.clear()
            for _ in range(3):
                assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
        assert len(callers) == 2
    assert [(each.status, "authorization" in each.header_names) for each in registry.requests()] == [(307, True)]
    assert [each.status for each in storage.requests()] == [206] * 3
    assert all("authorization" not in each.header_names for each in storage.requests())


async def test_who_leaves_gets_his_memory_back_at_once(registry: MemoryRegistry, blob: Descriptor) -> None:
    held = faults.Stall(after_bytes=5000)
    registry.faults.install(Fault(Match(), held))
    with asking(registry) as (client, repository):
        async with client:
            memory = bytearray(WANTED.length)

            async def read() -> None:
                async with repository.open_range(blob, WANTED) as stream:
                    count = await stream.receive_into(memoryview(memory))
                    await stream.receive_into(memoryview(memory)[count:])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.to_thread.run_sync(held.gate.wait_until_held)
                nursery.cancel_scope.cancel()
            before = bytes(memory)
            held.release()
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
            assert bytes(memory) == before
            assert client.statistics().answers == 0


@pytest.mark.parametrize(
    "said",
    [
        b"220 smtp.test ESMTP\r\n",
        b"HTTP/1.1 206 Partial Content\r\n" + b"X-Long: " + bytes(b"x" * 100_000) + b"\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nBad Header: x\r\n\r\nhello",
        b"",
    ],
    ids=["no HTTP", "endless head", "two lengths", "negative length", "no header", "nothing"],
)
async def test_what_is_no_http_is_told_so(said: bytes) -> None:
    transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings())))
    with speaking(said) as port, trio.fail_after(HANG_SECONDS):
        with pytest.raises(Unreachable, match="closed without an answer, or the answer is not HTTP"):
            async with transport.ask(Url.parse(f"http://127.0.0.1:{port}/"), {"Range": "bytes=0-4194303"}):
                pass
        await transport.aclose()


LITTLE = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("said", "body", "kept"),
    [
        pytest.param(LONG, BODY, 1, id="nothing strange"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" + LONG, BODY, 1, id="news before the answer"),
        pytest.param(LONG.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n", 1), BODY, 0, id="asked to close"),
        pytest.param(LONG.replace(b"HTTP/1.1", b"HTTP/1.0", 1), BODY, 0, id="old HTTP"),
        pytest.param(LITTLE, b"hello", 1, id="a body that comes with its head"),
        pytest.param(LITTLE + b"HTTP/1.1 200 OK\r\n", b"hello", 0, id="more than announced"),
    ],
)
async def test_a_connection_that_may_hold_anything_else_is_not_kept(said: bytes, body: bytes, kept: int) -> None:
    inner = PoolTransport(Proxies(), Trust(TlsSettings()))
    transport = Transport(inner)
    with speaking(said, said) as port, trio.fail_after(HANG_SECONDS):
        assert await heard(transport, f"http://127.0.0.1:{port}/") == body
        assert len(inner._lane._idle) == kept
        assert await heard(transport, f"http://127.0.0.1:{port}/") == body
        await transport.aclose()


async def test_a_connection_that_was_closed_meanwhile_is_not_used(
    registry: MemoryRegistry, blob: Descriptor, callers: list[object]
) -> None:
    with asking(registry) as (client, repository):
        async with client:
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
            ((_, wire),) = client._transport._inner._lane._idle
            callers[0][0].shutdown(2)
            with trio.fail_after(HANG_SECONDS):
                await trio.lowlevel.wait_readable(wire._socket)
            assert await receive(repository, blob) == DATA[WANTED.start : WANTED.stop]
        assert len(callers) == 2


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody signed, in one file."""
    place = tmp_path_factory.mktemp("tls")
    key, found = place / "key.pem", place / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", found, "-days", "2"]
    subprocess.run([*command, "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"], capture_output=True, check=True)
    found.write_bytes(found.read_bytes() + key.read_bytes())
    return found


@contextmanager
def secured(certificate: Path, *said: bytes) -> Iterator[str]:
    """An address under TLS whose every connection hears `said`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with speaking(*said, context=context) as port:
        yield f"https://127.0.0.1:{port}/"


@pytest.mark.parametrize(("said", "kept"), [([LONG, LONG], True), ([LONG + b"and more", b"no answer"], False)])
async def test_tls_is_received_in_the_same_way(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, said: list[bytes], kept: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    inner = PoolTransport(Proxies(), Trust(TlsSettings()))
    transport = Transport(inner)
    with secured(certificate, *said) as url, trio.fail_after(HANG_SECONDS):
        assert await heard(transport, url) == BODY
        ((_, wire),) = inner._lane._idle
        assert wire.is_quiet is kept
        assert await heard(transport, url) == BODY
        assert (wire in [each for _, each in inner._lane._idle]) is kept
        await transport.aclose()


async def test_a_certificate_nobody_trusts_ends_the_call(certificate: Path) -> None:
    transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings())))
    with secured(certificate, LONG) as url, trio.fail_after(HANG_SECONDS):
        with pytest.raises(Unreachable, match="the certificate is not trusted"):
            await heard(transport, url)
        await transport.aclose()


async def test_a_mirror_with_an_authority_of_its_own_sends_long_ranges_in_the_same_way(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    one_more = Descriptor("x", Digest.of(BODY), BULK_BYTES + 1)
    told = tmp_path / "registry.test" / "hosts.toml"
    told.parent.mkdir()
    with speaking(LONG.replace(b"/4194304", b"/4194305", 1), context=context) as port, trio.fail_after(HANG_SECONDS):
        told.write_text(f'[host."https://127.0.0.1:{port}"]\nca = "{certificate}"\n')
        settings = ClientSettings(hosts=HostsSettings((str(tmp_path),)))
        async with RegistryClient(settings, Credentials.anonymous()) as client:
            repository = client.repository(Reference.parse("registry.test/team/model:7b"))
            assert await receive(repository, one_more, ByteRange(0, BULK_BYTES)) == BODY
            assert client.statistics().passed_over == 0


async def test_a_connection_that_believed_somebody_else_is_not_used(certificate: Path) -> None:
    trust = Trust(TlsSettings())
    transport = Transport(PoolTransport(Proxies(), trust))
    with secured(certificate, LONG, LONG) as url, trio.fail_after(HANG_SECONDS):
        origin = Url.parse(url).origin
        trust.tell(origin, HostTls(verify=False))
        assert await heard(transport, url) == BODY
        trust.tell(origin, HostTls())
        with pytest.raises(Unreachable, match="the certificate is not trusted"):
            await heard(transport, url)
        await transport.aclose()


async def test_a_name_that_must_be_public_and_is_not_gets_no_byte_of_the_lane(registry: MemoryRegistry) -> None:
    peers = Peers()
    with serve(registry) as server:
        peers.must_be_public(Origin.of("http", server.host))
        transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings()), peers=peers))
        with pytest.raises(Unreachable, match="that name leads into a private network"):
            async with transport.ask(Url.parse(f"{server.url}/v2/"), {"Range": f"bytes=0-{BULK_BYTES}"}):
                raise AssertionError("it was asked")
        await transport.aclose()
    assert registry.requests() == ()


async def test_who_does_not_pick_up_is_called_as_long_as_was_said(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence(**arguments: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", silence)
    transport = Transport(PoolTransport(Proxies(), Trust(TlsSettings())))
    start = trio.current_time()
    with pytest.raises(Unreachable) as caught:
        async with transport.ask(Url.parse("http://mirror.test/x"), {"Range": "bytes=0-4194303"}, connect_seconds=0.5):
            raise AssertionError("it was asked")
    assert (caught.value.what, trio.current_time() - start) == ("no connection within 0.5 s", 0.5)
    await transport.aclose()
