"""What is told of a mount, and when: without a kernel, and without sockets but one."""

import threading
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from mkfs.cache.eviction import Disk, Limits
from mkfs.errors import CacheUnusable, UsageError
from mkfs.service import exporting as module
from mkfs.service.exporting import SPACE_SECONDS, WEIGHING_SECONDS, Exporter, exporting
from mkfs.service.health import TICK_SECONDS, Health
from mkfs.service.listening import Address
from mkfs.service.moment import Space


class Cache:
    """Weighs as told: so many bytes, on a disk of 100 of which 10 are free."""

    limits = Limits(0.0)

    def __init__(self, *answers: int | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    def occupied_bytes(self) -> int:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def disk(self) -> Disk:
        return Disk(100, 10, 100, 10)


def mounted(cache: Cache, *, clean: bool = False, stopping: bool = False, device: str = "0:1") -> SimpleNamespace:
    session = SimpleNamespace(clean=clean, stopping=stopping, mountpoint="/mnt", device=device, handed=False)
    return SimpleNamespace(session=session, means=SimpleNamespace(engine=SimpleNamespace(cache=cache)))


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
    cache = Cache(1)
    assert (await status(exporter, "/healthz"))[0] == (await status(exporter, "/readyz"))[0] == 503
    exporter.show(mounted(cache))
    assert await status(exporter, "/healthz") == await status(exporter, "/readyz") == (200, b"ok\n")
    exporter.show(mounted(cache, stopping=True))
    assert (await status(exporter, "/healthz"))[0] == 200
    assert await status(exporter, "/readyz") == (503, b"stopping\n")
    exporter.show(mounted(cache, clean=True))
    assert await status(exporter, "/healthz") == (503, b"not mounted any more\n")
    exporter.show(mounted(cache, device="0:2"))
    assert (await status(exporter, "/healthz"))[0] == 503
    assert await exporter.answer("/", "") is None


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk answers at once: the clock of these tests does not wait for threads."""

    async def at_once(work, **_how):
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)


async def test_the_cache_is_weighed_now_and_then(exporter: Exporter, no_threads: None, autojump_clock: MockClock) -> None:
    cache = Cache(1, CacheUnusable("gone"), 4)
    seen = []
    for _ in range(5):
        await exporter._weigh(mounted(cache))
        await exporter._weigh(mounted(cache))
        seen.append(exporter._space and exporter._space.size_bytes)
        await trio.sleep(SPACE_SECONDS / 2)
    assert seen == [1, 1, None, None, 4]
    assert cache.asked == 3


async def test_a_disk_that_hangs_holds_up_no_scrape_and_is_asked_once(exporter: Exporter, autojump_clock: MockClock) -> None:
    asked, released = threading.Event(), threading.Event()

    class Hanging(Cache):
        def occupied_bytes(self) -> int:
            self.asked += 1
            asked.set()
            released.wait(60)
            return 1

    cache, begun = Hanging(), trio.current_time()
    for _ in range(3):
        await exporter._weigh(mounted(cache))
        await trio.sleep(2 * SPACE_SECONDS)
    assert asked.wait(60)
    released.set()
    assert cache.asked == 1
    assert trio.current_time() - begun == pytest.approx(WEIGHING_SECONDS + 6 * SPACE_SECONDS)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(0.0), 60),
        (Limits(0.05), 55),
        (Limits(0.5), 50),
        (Limits(0.0, 4), 56),
        (Limits(0.0, 0, 20), 20),
        (Limits(0.0, 0, 90), 60),
    ],
)
def test_the_limit_is_what_may_be_occupied_as_things_are(limits: Limits, limit: int) -> None:
    cache = Cache(50)
    cache.limits = limits
    assert Space.of(cache) == Space(50, limit, 10)


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
