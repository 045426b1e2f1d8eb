"""What is told of a mount, and when: without a kernel, and without sockets but one."""

from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import UsageError
from mkfs.service import exporting as module
from mkfs.service.exporting import Exporter, exporting
from mkfs.service.health import TICK_SECONDS, Health
from mkfs.service.listening import Address


def mounted(*, clean: bool = False, stopping: bool = False, device: str = "0:1") -> SimpleNamespace:
    session = SimpleNamespace(clean=clean, stopping=stopping, mountpoint="/mnt", device=device, handed=False)
    return SimpleNamespace(session=session)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    """On a machine where 0:1 is mounted."""
    monkeypatch.setattr(module, "mount_at", lambda _place: SimpleNamespace(device="0:1"))
    return Exporter(Address("127.0.0.1", 9400))


async def status(exporter: Exporter, path: str) -> tuple[int, bytes]:
    reply = await exporter.answer(path, "")
    assert reply is not None
    return reply.status, reply.body


async def test_probes_follow_the_life_of_a_mount(exporter: Exporter) -> None:
    assert (await status(exporter, "/healthz"))[0] == (await status(exporter, "/readyz"))[0] == 503
    exporter.show(mounted())
    assert await status(exporter, "/healthz") == await status(exporter, "/readyz") == (200, b"ok\n")
    exporter.show(mounted(stopping=True))
    assert (await status(exporter, "/healthz"))[0] == 200
    assert await status(exporter, "/readyz") == (503, b"stopping\n")
    exporter.show(mounted(clean=True))
    assert await status(exporter, "/healthz") == (503, b"not mounted any more\n")
    exporter.show(mounted(device="0:2"))
    assert (await status(exporter, "/healthz"))[0] == 503
    assert await exporter.answer("/", "") is None


async def test_without_an_address_nothing_is_told() -> None:
    async with exporting(None) as exporter:
        assert exporter is None


async def test_an_address_is_given_back_at_the_end() -> None:
    async with exporting(Address("127.0.0.1", 0)) as exporter:
        assert exporter is not None
        address = exporter.address
        with pytest.raises(UsageError):
            async with exporting(address):
                pass
        stream = await trio.open_tcp_stream(address.host, address.port)
        await stream.send_all(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b"503" in await stream.receive_some()
        await stream.aclose()
    async with exporting(address):
        pass


async def test_an_error_within_leaves_it_as_it_is() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError)):
        async with exporting(Address("127.0.0.1", 0)):
            raise ZeroDivisionError


async def test_how_late_the_loop_wakes_is_measured(autojump_clock: MockClock) -> None:
    health = Health()
    with trio.move_on_after(10 * TICK_SECONDS + 0.5):
        await health.watch()
    told = health.lag.snapshot()
    assert (told.cumulative[-1], told.total) == (10, 0)
