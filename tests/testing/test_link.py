"""A link over real sockets: every byte once and in order, ends and resets passed on, stalls that hold one connection only."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody, digest_of
from mkfs.testing.link import Shape, Stall, main, shaped
from mkfs.testing.link_model import Wire
from mkfs.testing.link_proxy import _Direction, _Lane, _Socket
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import MIB
from tests.support.pushing import Pusher
from tests.support.talking import nobody

SOURCE = Path(__file__).resolve().parents[2] / "src"
SHORT = Shape(10**10, 0.001)
FOREVER = 3600.0  # longer than any test: what is held is held until the link ends
WAIT_SECONDS = 30


@contextmanager
def origin(answer: bytes) -> Iterator[str]:
    """Answers whoever sent its whole question, up to FIN, with `answer`, in which % is the question."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_all() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer.replace(b"%", receive(connection)))

        thread = threading.Thread(target=serve_all)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def connect(host: str) -> socket.socket:
    address, _, port = host.partition(":")
    return socket.create_connection((address, int(port)), WAIT_SECONDS)


def receive(connection: socket.socket) -> bytes:
    """Everything to the end."""
    return receive_some(connection, sys.maxsize)


def receive_some(connection: socket.socket, size_bytes: int) -> bytes:
    found = b""
    while len(found) < size_bytes and (piece := connection.recv(min(65536, size_bytes - len(found)))):
        found += piece
    return found


def ask(host: str, question: bytes) -> socket.socket:
    connection = connect(host)
    connection.sendall(question)
    connection.shutdown(socket.SHUT_WR)
    return connection


def test_a_question_goes_there_and_its_answer_comes_back_with_its_end() -> None:
    with origin(b"you said %") as target, shaped(target, SHORT) as link:
        with ask(link.host, b"hello") as connection:
            assert receive(connection) == b"you said hello"
        carried = link.carried
        assert (carried.connections, carried.up_bytes, carried.down_bytes) == (1, 5, 14)


def test_eight_connections_get_their_own_bytes_and_no_other() -> None:
    body = SeededBody(7, 16 * MIB)
    registry = MemoryRegistry()
    digest = digest_of(body)
    registry.push("team/model", "7b", b"{}", {digest: body})
    sums: dict[ByteRange, bytes] = {}

    def fetch(host: str, wanted: ByteRange) -> None:
        client = Pusher(host)
        ranged = {"Range": f"bytes={wanted.start}-{wanted.stop - 1}"}
        for _ in range(2):  # the second question on the same connection
            status, data = client.get(f"/v2/team/model/blobs/{digest}", ranged)
            assert status == 206
            sums[wanted] = sha256(data).digest()
        client.close()

    with serve(registry) as server, shaped(server.host, SHORT) as link:
        wanted = list(ByteRange(0, body.size_bytes).pieces(2 * MIB))
        readers = [threading.Thread(target=fetch, args=(link.host, each)) for each in wanted]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert sums == {each: sha256(body.read(each)).digest() for each in wanted}
        assert registry.bytes_sent(digest) == 32 * MIB
        assert link.carried.connections == 8
        assert 32 * MIB < link.carried.down_bytes < 33 * MIB  # with the heads of the answers


def test_a_stalled_connection_holds_its_bytes_and_nobody_else() -> None:
    shape = Shape(10**10, 0.001, (Stall(1000, FOREVER),))
    with origin(b"%" * 5) as target:
        with shaped(target, shape) as link:
            stalled = ask(link.host, b"x" * 300)  # an answer of 1500 bytes
            assert receive_some(stalled, 1000) == b"x" * 1000
            with ask(link.host, b"y" * 100) as other:
                assert receive(other) == b"y" * 500
            assert link.carried.down_bytes == 1500
        with pytest.raises(ConnectionResetError):  # the link is gone: the rest does not come
            stalled.recv(1)
        stalled.close()


def test_a_client_that_leaves_is_seen_by_the_origin() -> None:
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    while True:
                        connection.sendall(bytes(MIB))
                except ConnectionError:
                    left.set()

        thread = threading.Thread(target=serve_one)
        thread.start()
        with shaped(f"127.0.0.1:{listener.getsockname()[1]}", SHORT) as link:
            with connect(link.host) as connection:
                receive_some(connection, 3 * MIB)
            assert left.wait(WAIT_SECONDS)
        thread.join()


def test_what_may_not_leave_yet_is_read_ahead_within_bounds() -> None:
    wire = Wire(SHORT)
    with socket.create_server(("127.0.0.1", 0)) as listener, connect(f"127.0.0.1:{listener.getsockname()[1]}") as sender:
        sender.setblocking(False)
        source = _Socket(listener.accept()[0])
        lane = _Lane(source, source, _Direction(wire), wire.open(0))
        enough = False
        while not enough:  # and once more when it has all that it may have
            enough = lane.flow.backlog_bytes >= MIB
            with suppress(BlockingIOError):
                while True:
                    sender.send(bytes(MIB))
            assert select.select([source.socket], [], [], WAIT_SECONDS)[0]
            source.readable = True
            lane.read(0)
        assert lane.flow.backlog_bytes < 2 * MIB
        source.close(reset=True)


def test_an_origin_that_is_not_there_is_a_reset() -> None:
    with (
        nobody() as port,
        shaped(f"127.0.0.1:{port}", SHORT) as link,
        pytest.raises(ConnectionResetError),
        connect(link.host) as connection,
    ):
        connection.recv(1)


def test_the_program_says_where_it_listens_and_ends_when_told() -> None:
    with origin(b"you said %") as target:
        command = [sys.executable, "-m", "mkfs.testing.link", target, "--round-trip-ms", "1", "--stall", "100:0.5"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
            try:
                with ask(program.stdout.readline().strip(), b"hello") as connection:
                    assert receive(connection) == b"you said hello"
            finally:
                program.send_signal(signal.SIGTERM)
            assert program.wait(WAIT_SECONDS) == 0


@pytest.mark.parametrize("words", [["nowhere"], [], ["127.0.0.1:1", "--stall", "soon"]])
def test_words_that_make_no_sense_are_said_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "python -m mkfs.testing.link: error: " in capsys.readouterr().err
