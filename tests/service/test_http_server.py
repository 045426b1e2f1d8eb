"""Who asks over HTTP may be anybody: what is answered, and that nobody can cost the mount more than a little. Time is trio's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mkfs.service.http_server import ANSWER_SECONDS, ASK_SECONDS, CLIENTS, HEAD_LIMIT_BYTES, HttpServer, Reply, saying


async def answering(path: str, accept: str) -> Reply | None:
    if path == "/late":
        await trio.sleep(1000)
    if path == "/defect":
        raise ZeroDivisionError("a bug")
    if path == "/large":
        return Reply(bytes(1 << 20))
    return saying(f"{path} {accept}") if path == "/here" else None


class Client:
    """One connection, seen from the other side."""

    def __init__(self, stream: trio.testing.MemoryReceiveStream) -> None:
        self.stream = stream

    async def says(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def hears(self) -> bytes:
        """Everything until the connection ends."""
        return b"".join([bytes(piece) async for piece in self.stream])


@asynccontextmanager
async def serving() -> AsyncIterator[object]:
    """Gives a function that connects."""
    server = HttpServer(answering)

    async with trio.open_nursery() as nursery:

        async def connect() -> Client:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.attend, ours)
            await trio.testing.wait_all_tasks_blocked()
            return Client(theirs)

        yield connect
        nursery.cancel_scope.cancel()


async def answer_to(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to what is sent on one connection, read by the rules of HTTP."""
    async with serving() as connect:
        client = await connect()
        await client.says(data)
        said = await client.hears()
    http = h11.Connection(h11.CLIENT)
    method = "HEAD" if data.startswith(b"HEAD ") else "GET"
    http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(said)
    http.receive_data(b"")
    head, body = http.next_event(), b""
    assert isinstance(head, h11.Response), said
    while isinstance(event := http.next_event(), h11.Data):
        body += bytes(event.data)
    assert http.trailing_data == (b"", True)
    return head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body


def request(method: str = "GET", target: str = "/here", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode("latin-1")


async def test_a_path_is_answered_with_its_length_and_the_connection_ends() -> None:
    status, headers, body = await answer_to(request("GET", "/here", "Accept: text/plain"))
    assert (status, body) == (200, b"/here text/plain\n")
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"
    assert headers["content-type"] == "text/plain; charset=utf-8"


async def test_head_is_the_same_without_a_body() -> None:
    status, headers, body = await answer_to(request("HEAD"))
    assert (status, headers["content-length"], body) == (200, "7", b"")


@pytest.mark.parametrize("target", ["/here?x=1", "http://localhost:1/here", "/here#x"])
async def test_what_is_beside_the_path_makes_no_difference(target: str) -> None:
    assert (await answer_to(request("GET", target)))[0] == 200


@pytest.mark.parametrize("target", ["/", "/nowhere", "/here/", "//here", "/%68ere", "*", "/../here"])
async def test_other_paths_are_not_there(target: str) -> None:
    assert (await answer_to(request("GET", target)))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_other_methods_are_refused(method: str) -> None:
    status, headers, _ = await answer_to(request(method, "/here", "Content-Length: 3") + b"abc")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.logs("a question cannot be answered: unexpected")
async def test_a_defect_is_told_in_the_log_alone() -> None:
    status, _, body = await answer_to(request("GET", "/defect"))
    assert status == 500
    assert b"ZeroDivisionError" not in body


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",  # TLS
        b"GET\r\n\r\n",
        b"GET /here HTTP/1.1\r\n\r\n",  # no Host
        b"GET /h\xc3\xa9re HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /here HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET /here HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        request("GET", "http://[::1/here"),
    ],
)
async def test_what_is_no_http_is_told_so(garbage: bytes) -> None:
    assert (await answer_to(garbage))[0] == 400


async def test_a_head_that_does_not_end_is_cut_off() -> None:
    status, _, _ = await answer_to(b"GET /here HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 2 * HEAD_LIMIT_BYTES)
    assert status == 431


async def test_who_sends_his_request_byte_by_byte_is_cut_off(autojump_clock: MockClock) -> None:
    async with serving() as connect:
        client, begun = await connect(), trio.current_time()

        async def trickle() -> None:
            for byte in request("GET", "/here", "A: " + "a" * 1000):
                await client.says(bytes([byte]))
                await trio.sleep(1)

        with pytest.raises(trio.BrokenResourceError):
            await trickle()
        assert trio.current_time() - begun <= ASK_SECONDS + 1


async def test_who_says_nothing_is_cut_off(autojump_clock: MockClock) -> None:
    async with serving() as connect:
        client, begun = await connect(), trio.current_time()
        assert await client.hears() == b""
        assert trio.current_time() - begun == ASK_SECONDS


async def test_who_does_not_take_his_answer_is_cut_off(autojump_clock: MockClock) -> None:
    server = HttpServer(answering)
    ours, theirs = trio.testing.lockstep_stream_pair()  # a piece is sent when it was received
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.attend, ours)
        await theirs.send_all(request("GET", "/large"))
        begun = trio.current_time()
    assert trio.current_time() - begun == ANSWER_SECONDS


async def test_an_answer_that_takes_too_long_is_given_up(autojump_clock: MockClock) -> None:
    async with serving() as connect:
        client, begun = await connect(), trio.current_time()
        await client.says(request("GET", "/late"))
        assert await client.hears() == b""
        assert trio.current_time() - begun == ANSWER_SECONDS


async def test_who_goes_away_takes_nothing_along(autojump_clock: MockClock) -> None:
    server = HttpServer(answering)
    for said in (b"", b"GET /here", request("GET", "/large")):
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.attend, ours)
            await theirs.send_all(said)
            await theirs.aclose()
    assert server._open == 0
    assert server._asking == {}


async def test_however_many_hang_the_next_one_is_answered(autojump_clock: MockClock) -> None:
    async with serving() as connect:
        begun = trio.current_time()
        hanging = [await connect() for _ in range(3 * CLIENTS)]
        client = await connect()
        await client.says(request())
        assert (await client.hears()).startswith(b"HTTP/1.1 200 ")
        assert trio.current_time() - begun < ASK_SECONDS
        assert await hanging[0].hears() == b""
        assert trio.current_time() - begun < ASK_SECONDS


async def test_no_more_than_so_many_are_answered_at_once(autojump_clock: MockClock) -> None:
    async with serving() as connect:
        for _ in range(CLIENTS):
            await (await connect()).says(request("GET", "/late"))
        await trio.testing.wait_all_tasks_blocked()
        client = await connect()
        with pytest.raises(trio.BrokenResourceError):
            await client.says(request())


async def test_a_second_request_on_the_connection_is_not_answered() -> None:
    async with serving() as connect:
        client = await connect()
        await client.says(request() + request("GET", "/nowhere"))
        assert (await client.hears()).count(b"HTTP/1.1 ") == 1


PIECES = (
    b"GET ",
    b"HEAD ",
    b"/here",
    b" HTTP/1.1",
    b"\r\n",
    b"\n",
    b"Host: x",
    b": ",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked",
    b"0",
)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=20))
def test_whatever_is_sent_the_connection_ends_in_time_and_in_order(pieces: list[bytes]) -> None:
    """What the server does not expect it logs as an error, and a test that does not announce one fails."""

    async def converse() -> float:
        server = HttpServer(answering)
        ours, theirs = trio.testing.memory_stream_pair()
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.attend, ours)
            await theirs.send_all(b"".join(pieces))
            said = await Client(theirs).hears()
        assert said == b"" or said.startswith(b"HTTP/1.1 ")
        assert (server._open, server._asking) == (0, {})
        return trio.current_time() - begun

    assert trio.run(converse, clock=MockClock(autojump_threshold=0)) <= ASK_SECONDS + ANSWER_SECONDS
