"""The control socket and clients that mean it harm: garbage, no end of line, silence, no reading, too many, somebody else."""

import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mkfs import __version__
from mkfs.service import control_place
from mkfs.service.control import CLIENTS, IDLE_SECONDS, SEND_SECONDS, ControlServer
from mkfs.service.control_wire import LINE_LIMIT_BYTES, LONGEST_PERIOD_SECONDS, encode
from tests.support.namespaces import NOBODY

ANSWER = {"protocol": 1, "report": {"answer": "x"}}


class Client:
    """A program that speaks to the socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream, self._rest = stream, b""

    async def ask(self, line: bytes) -> dict[str, Any] | None:
        await self.stream.send_all(line)
        return await self.answer()

    async def answer(self) -> dict[str, Any] | None:
        """The next answer; None at the end."""
        while b"\n" not in self._rest:
            try:
                received = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:  # it had sent more than anybody read
                return None
            if not received:
                return None
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Served:
    """A server, and where it listens."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked, self.size_bytes = path, 0, 1
        self.clients: list[Client] = []

    async def report(self) -> bytes:
        self.asked += 1
        return encode(report={"answer": "x" * self.size_bytes})

    async def client(self) -> Client:
        connected = trio.socket.from_stdlib_socket(control_place.connect(self.path, 5))
        self.clients.append(Client(trio.SocketStream(connected)))
        return self.clients[-1]


@asynccontextmanager
async def serving(path: Path, report: Callable[[], Awaitable[bytes]] | None = None) -> AsyncGenerator[Served, None]:
    served = Served(path)
    server = ControlServer(control_place.listen(path), report or served.report)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        yield served
        for client in served.clients:
            client.stream.socket.close()
        nursery.cancel_scope.cancel()


async def test_each_line_gets_an_answer(tmp_path: Path) -> None:
    async with serving(tmp_path / "run" / "s.sock") as served:
        client = await served.client()
        assert await client.ask(b'{"request":"status"}\n') == ANSWER
        assert await client.ask(b'{"request":"status","protocol":1,"further":[1]}\n') == ANSWER
        assert await client.ask(b'{"request":"ping"}\n') == {"protocol": 1, "pid": os.getpid(), "version": __version__}
        await client.stream.send_all(b'{"request":"status"}\n{"request":"status"}\n{"requ')
        assert [await client.answer() for _ in range(2)] == [ANSWER, ANSWER]
        assert await client.ask(b'est":"status"}\n') == ANSWER


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n", "bad_request"),
        (b"\xff\xfe\x00\n", "bad_request"),
        (b"[" * 4000 + b"\n", "bad_request"),
        (b'{"a":' * 800 + b"\n", "bad_request"),
        (b"[]\n", "bad_request"),
        (b'{"request":7}\n', "bad_request"),
        (b'{"request":"status"} {}\n', "bad_request"),
        (b'{"request":"watch","period_seconds":"soon"}\n', "bad_request"),
        (b'{"request":"drop"}\n', "unknown_request"),
        (b'{"request":"status","protocol":2}\n', "unsupported_protocol"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_the_next_line_is_read(tmp_path: Path, line: bytes, code: str) -> None:
    async with serving(tmp_path / "s.sock") as served:
        client = await served.client()
        answer = await client.ask(line)
        assert answer is not None
        assert (answer["protocol"], answer["error"]["code"]) == (1, code)
        assert await client.ask(b'{"request":"status"}\n') == ANSWER


async def test_a_line_without_an_end_is_the_last_one(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock") as served:
        client = await served.client()
        answer = await client.ask(b"x" * LINE_LIMIT_BYTES)
        assert answer is not None
        assert answer["error"]["code"] == "too_long"
        assert await client.answer() is None


async def test_who_says_nothing_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with serving(tmp_path / "s.sock") as served:
        client = await served.client()
        began = trio.current_time()
        await client.stream.send_all(b'{"request":')
        assert await client.answer() is None
        assert trio.current_time() - began == pytest.approx(IDLE_SECONDS)


async def test_who_does_not_read_holds_up_nobody_and_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with serving(tmp_path / "s.sock") as served:
        served.size_bytes = 4 << 20  # more than a socket holds
        deaf, other = await served.client(), await served.client()
        await deaf.stream.send_all(b'{"request":"watch","period_seconds":1}\n')
        answer = await other.ask(b'{"request":"status"}\n')
        assert answer is not None
        await trio.sleep(SEND_SECONDS + 1)
        asked = served.asked
        await trio.sleep(60)
        assert served.asked == asked == 2
        while (received := await deaf.stream.receive_some(1 << 20)) and b"\n" not in received:
            pass
        assert received == b""  # the end came before the end of the line


async def test_who_watches_is_told_again_and_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with serving(tmp_path / "s.sock") as served:
        client = await served.client()
        began = trio.current_time()
        assert await client.ask(b'{"request":"watch","period_seconds":2.5}\n') == ANSWER
        assert [await client.answer() for _ in range(3)] == [ANSWER] * 3
        assert trio.current_time() - began == pytest.approx(7.5)
        await client.stream.aclose()
        await trio.sleep(10)
        asked = served.asked
        await trio.sleep(100)
        assert served.asked == asked


@pytest.mark.parametrize("period", ["0", "-1", "1e-9", "1e300"])
async def test_no_period_is_too_short_or_too_long(tmp_path: Path, autojump_clock: MockClock, period: str) -> None:
    async with serving(tmp_path / "s.sock") as served:
        client = await served.client()
        began = trio.current_time()
        await client.ask(b'{"request":"watch","period_seconds":%s}\n' % period.encode())
        assert await client.answer() == ANSWER
        assert 0.1 <= trio.current_time() - began <= LONGEST_PERIOD_SECONDS + 1


async def test_only_so_many_are_served_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock") as served:
        clients = [await served.client() for _ in range(CLIENTS)]
        for client in clients:
            assert await client.ask(b'{"request":"status"}\n') == ANSWER
        late = await served.client()
        answer = await late.answer()
        assert answer is not None
        assert answer["error"]["code"] == "busy"
        assert await late.answer() is None
        await clients[0].stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert await (await served.client()).ask(b'{"request":"status"}\n') == ANSWER


async def test_who_leaves_in_the_middle_disturbs_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock") as served:
        served.size_bytes = 4 << 20
        for line in (b"", b'{"request":', b'{"request":"status"}\n', b'{"request":"watch"}\n'):
            client = await served.client()
            if line:
                await client.stream.send_all(line)
            await trio.testing.wait_all_tasks_blocked()
            client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.stream.aclose()
        served.size_bytes = 1
        assert await (await served.client()).ask(b'{"request":"status"}\n') == ANSWER


@pytest.mark.logs("got no answer: this is a defect")
async def test_a_defect_costs_one_client_its_answer_and_not_the_mount(tmp_path: Path) -> None:
    async def broken() -> bytes:
        raise ZeroDivisionError

    async with serving(tmp_path / "s.sock", broken) as served:
        client = await served.client()
        assert await client.ask(b'{"request":"status"}\n') is None
        answer = await (await served.client()).ask(b'{"request":"ping"}\n')
        assert answer is not None
        assert answer["pid"] == os.getpid()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
async def test_somebody_else_is_told_nothing_even_where_the_modes_let_him_in() -> None:
    asking = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(9999).decode(), end='')"
    who = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s.sock"
        os.chmod(directory, 0o755)
        async with serving(path):
            words = [*who, sys.executable, "-ISc", asking, str(path)]
            refused = await trio.run_process(words, capture_stdout=True, capture_stderr=True, check=False)
            assert b"PermissionError" in refused.stderr
            os.chmod(path, 0o666)
            told = await trio.run_process(words, capture_stdout=True)
            assert json.loads(told.stdout)["error"]["code"] == "not_allowed"


def test_a_socket_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "s.sock"
    with control_place.listen(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600


def test_no_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "s.sock"
    with control_place.listen(path), control_place.connect(path, 1):
        pass


def test_the_newest_mount_of_a_place_has_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with control_place.listen(path):
        before = control_place.identity(path)
        with control_place.listen(path) as new:
            new.setblocking(True)
            with control_place.connect(path, 1) as asking, new.accept()[0] as taken:
                taken.sendall(b"new")
                assert asking.recv(3) == b"new"
            control_place.remove(path, before)  # the old one ends
            assert path.exists()
            control_place.remove(path, control_place.identity(path))
            assert not path.exists()


def test_what_dead_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead, alive, file = tmp_path / "dead.sock", tmp_path / "alive.sock", tmp_path / "file.sock"
    file.touch()
    control_place.listen(dead).close()
    with control_place.listen(alive), control_place.listen(tmp_path / "new.sock"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["alive.sock", "file.sock", "new.sock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory away")
@pytest.mark.parametrize(("owner", "mode"), [(NOBODY, 0o700), (0, 0o770), (0, 0o1777)])
def test_a_directory_of_somebody_else_is_not_used(tmp_path: Path, owner: int, mode: int) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(mode)
    os.chown(directory, owner, owner)
    with pytest.raises(Exception, match="not a directory of ours alone"):
        control_place.listen(directory / "s.sock")


def test_a_link_in_the_directorys_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        control_place.listen(tmp_path / "run" / "s.sock")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_name_says_where_it_is_mounted_and_is_no_other_places() -> None:
    places = ("/mnt/llama", "/srv/llama", "/", "/mnt/ä b", "/mnt/.x", f"/{'n' * 250}")
    names = [control_place.socket_name(Path(place)) for place in places]
    assert len(set(names)) == len(names)
    assert names[0].startswith("llama-")
    assert all(len(name) < 64 and not name.startswith(".") and name.isascii() for name in names)
