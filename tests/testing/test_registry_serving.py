"""What only sockets have: connections that stay, that wait, that end; files handed to the kernel; a server that stops."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing import faults, serving
from mkfs.testing.bodies import FileBody, SeededBody, digest_of
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import MIB
from tests.support.carriers import Ask, Sockets
from tests.support.little_model import BLOB, BLOB_PATH, DATA, MANIFEST, MANIFEST_PATH

CLIENT_SECONDS = 30.0  # what never comes fails its test


def connected(server: RegistryServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=CLIENT_SECONDS)


@pytest.fixture
def client(server: RegistryServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CLIENT_SECONDS)
    yield connection
    connection.close()


def test_one_connection_serves_request_after_request(client: http.client.HTTPConnection) -> None:
    client.connect()
    first = client.sock
    for method, path, body in (
        ("GET", BLOB_PATH, DATA),
        ("HEAD", BLOB_PATH, b""),
        ("POST", "/token", b"404 page not found\n"),
        ("GET", MANIFEST_PATH, MANIFEST),
    ):
        client.request(method, path, b"grant_type=password" if method == "POST" else None)
        assert client.getresponse().read() == body
    assert client.sock is first


def test_a_stalled_answer_goes_on_where_it_stopped(registry: MemoryRegistry, client: http.client.HTTPConnection) -> None:
    stall = faults.Stall(after_bytes=1000)
    registry.faults.install(Fault(Match(), stall))
    client.request("GET", BLOB_PATH)
    response = client.getresponse()
    assert response.read(1000) == DATA[:1000]
    assert stall.gate.wait_until_held()
    client.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.sock.recv(1)
    client.sock.settimeout(CLIENT_SECONDS)
    stall.release()
    assert response.read() == DATA[1000:]


def test_a_withheld_answer_has_no_head(registry: MemoryRegistry, server: RegistryServer) -> None:
    withhold = faults.Withhold()
    registry.faults.install(Fault(Match(), withhold, times=1))
    with connected(server) as client:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert withhold.gate.wait_until_held()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(CLIENT_SECONDS)
        assert Sockets(server).fetch(Ask(BLOB_PATH)).body == DATA  # nobody else waits
        withhold.release()
        assert client.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (faults.Stall(after_bytes=5), 200),
        (faults.Withhold(), 0),
        (faults.Slow(bytes_per_second=0.001), 200),
        (faults.Delay(seconds=3600), 0),
    ],
    ids=["stall", "withhold", "slow", "delay"],
)
def test_stopping_ends_answers_that_would_take_for_ever(registry: MemoryRegistry, action: faults.Action, status: int) -> None:
    registry.faults.install(Fault(Match(path="/blobs/"), action))
    before = threading.enumerate()
    with serve(registry) as server:
        client = connected(server)
        client.sendall(b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"\r\n\r\n" in client.recv(1000)
        client.sendall(f"GET {BLOB_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if status:
            assert client.recv(12) == b"HTTP/1.1 200"
    with client, client.makefile("rb") as file, suppress(ConnectionResetError):  # where the request itself was not read yet
        assert len(file.read()) < 1000
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_who_is_held_sends_nothing_when_the_server_stops(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    withhold = faults.Withhold()
    registry.faults.install(Fault(Match(), withhold))
    monkeypatch.setattr(serving, "_shut", lambda _connection: None)  # as if the thread that was held were quicker
    with serve(registry) as server:
        client = connected(server)
        client.sendall(f"GET {BLOB_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert withhold.gate.wait_until_held()
    with client:
        assert client.recv(1) == b""


def test_stopping_does_not_wait_for_clients_that_have_nothing_to_ask(registry: MemoryRegistry) -> None:
    with serve(registry) as server:
        client = connected(server)
        client.sendall(b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"\r\n\r\n" in client.recv(1000)
    with client:
        assert client.recv(1) == b""


def test_a_file_goes_out_whole_in_ranges_and_with_faults(registry: MemoryRegistry, server: RegistryServer, tmp_path: Path) -> None:
    source = SeededBody(seed=9, size_bytes=9 * MIB + 5)
    data = source.read(ByteRange(0, source.size_bytes))
    path = tmp_path / "blob"
    path.write_bytes(data)
    digest = digest_of(source)
    registry.push("team/model", None, b"{}", {digest: FileBody(path)})
    ask = Ask(f"/v2/team/model/blobs/{digest}")
    sockets = Sockets(server)
    assert sockets.fetch(ask).body == data
    assert registry.bytes_sent(digest) == len(data)
    assert sockets.fetch(Ask(ask.path, headers={"Range": "bytes=7-9000000"})).body == data[7:9000001]
    registry.faults.install(Fault(Match(nth=1), faults.Flip(8), times=1))
    assert sockets.fetch(ask).body == data[:8] + bytes([data[8] ^ 1]) + data[9:]
    registry.faults.install(Fault(Match(), faults.ShortBody(MIB), times=1))
    assert sockets.fetch(ask).body == data[:MIB]
    with path.open("r+b") as file:
        file.truncate(100)
    seen = sockets.fetch(ask)
    assert (seen.body, seen.ended) == (data[:100], "cut short")
    assert registry.requests(digest)[-1].sent_bytes == 100


def test_bytes_a_client_did_not_wait_for_are_not_counted(registry: MemoryRegistry, server: RegistryServer) -> None:
    huge = SeededBody(seed=1, size_bytes=2**40)
    digest = BLOB.of(b"huge")
    registry.push("team/model", None, b"{}", {digest: huge})
    with serve(registry) as other:
        client = connected(other)
        client.sendall(f"GET /v2/team/model/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        client.close()
    assert registry.bytes_sent(digest) < 64 * MIB  # what socket buffers swallow


def test_two_hundred_clients_are_served_while_two_hundred_are_stuck(registry: MemoryRegistry, server: RegistryServer) -> None:
    stall = faults.Stall()
    registry.faults.install(Fault(Match(), stall, times=200))
    stuck = [connected(server) for _ in range(200)]
    for client in stuck:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert stall.gate.wait_until_held(200)
    for _ in range(20):
        assert Sockets(server).fetch(Ask(MANIFEST_PATH)).body == MANIFEST
    stall.release()
    for client in stuck:
        with client:
            assert client.recv(12) == b"HTTP/1.1 200"


def test_a_server_has_the_address_that_stands_in_a_reference(server: RegistryServer) -> None:
    assert server.host == f"127.0.0.1:{server.port}"
    assert server.url == f"http://{server.host}"


def test_escapes_and_absolute_targets_are_understood(server: RegistryServer) -> None:
    for path in ("/v2/team%2Fmodel/manifests/7b", f"{server.url}{MANIFEST_PATH}"):
        assert Sockets(server).fetch(Ask(path)).body == MANIFEST


def test_a_body_larger_than_any_document_ends_the_connection(server: RegistryServer) -> None:
    with connected(server) as client:
        client.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + bytes(64 * 1024))
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"Connection: close" in answer


@pytest.mark.logs("the test registry failed to answer")
def test_a_defect_of_a_test_is_not_silent(registry: MemoryRegistry, server: RegistryServer) -> None:
    class Broken:
        size_bytes = 5

        def read(self, wanted: ByteRange, /) -> bytes:
            raise RuntimeError(wanted)

    digest = BLOB.of(b"broken")
    registry.push("team/model", None, json.dumps({}).encode(), {digest: Broken()})
    assert Sockets(server).fetch(Ask(f"/v2/team/model/blobs/{digest}")).ended == "cut short"
