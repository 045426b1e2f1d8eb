"""systemd's protocol, without systemd: what a service manager is told, and when it is told nothing."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.cli.supervision import take_supervision
from mkfs.errors import IntegrityError
from mkfs.service.notify import Notifier
from mkfs.service.progress import Progress
from mkfs.service.settings import NotifySettings
from mkfs.units import MIB
from tests.support.service_manager import Manager, service_manager

PATIENCE_SECONDS = 30


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with service_manager(tmp_path / "notify") as manager:
        yield manager


def notifier(manager: Manager, watchdog_seconds: float | None = None) -> Notifier:
    return Notifier(NotifySettings(manager.address, watchdog_seconds))


def test_a_path_and_an_abstract_name_are_addresses(tmp_path: Path) -> None:
    for place in (tmp_path / "notify", f"@mkfs-test-{os.getpid()}"):
        with service_manager(place) as manager:
            notifier(manager).ready("serving")
            assert manager.hear() == {"READY": "1", "STATUS": "serving"}
            assert manager.senders == [os.getpid()]


def test_the_end_is_told_once_and_a_failure_with_its_numbers(manager: Manager) -> None:
    told = notifier(manager)
    told.stopping("unmounting")
    told.stopping("unmounting")
    told.failed(IntegrityError("not what it should be", "a host"))
    assert manager.hear() == {"STOPPING": "1", "STATUS": "unmounting"}
    assert manager.hear() == {"STATUS": "failed: not what it should be (a host)", "ERRNO": "5", "EXIT_STATUS": "13"}


def test_a_status_stays_one_line(manager: Manager) -> None:
    notifier(manager).status("one\nREADY=1")
    assert manager.hear() == {"STATUS": "one READY=1"}


def test_a_long_start_may_take_longer_while_it_gets_on_and_not_when_it_stands_still(manager: Manager) -> None:
    told = notifier(manager)
    told.progress(Progress(MIB, 4 * MIB, 0, 2))
    told.progress(Progress(MIB, 4 * MIB, 0, 2))
    told.progress(Progress(3 * MIB, 4 * MIB, 1, 2))
    first, second, third = manager.hear(), manager.hear(), manager.hear()
    assert int(first["EXTEND_TIMEOUT_USEC"]) > 60_000_000  # a stalled stream is given up in that time
    assert "EXTEND_TIMEOUT_USEC" not in second
    assert "EXTEND_TIMEOUT_USEC" in third
    assert third["STATUS"] == "mounting: 3.0 MiB of 4.0 MiB read of compressed layers, 1 of 2 done"


async def test_the_watchdog_hears_twice_per_period(manager: Manager, autojump_clock: MockClock) -> None:
    with trio.move_on_after(25):
        await notifier(manager, watchdog_seconds=10).keep_alive()
    assert autojump_clock.current_time() >= 25
    assert [manager.hear(0) for _ in range(6)] == [{"WATCHDOG": "1"}] * 5 + [{}]


async def test_the_watchdog_hears_nothing_while_the_loop_is_stuck(manager: Manager) -> None:
    """A period of a millisecond, and a loop that a task of ours blocks: so silence is sure, not likely.

    One thread hears all that is said, all the time: a socket that nobody empties is full after some milliseconds of it.
    """
    heard, stuck, silent, again, over = (threading.Event() for _ in range(5))

    def watch() -> None:
        assert manager.hear() == {"WATCHDOG": "1"}
        heard.set()
        while not stuck.is_set():
            manager.hear(0.05)
        while manager.hear(0.05):  # what was said before; then a hundred periods of silence
            pass
        silent.set()
        assert manager.hear() == {"WATCHDOG": "1"}
        again.set()
        while not over.is_set():
            manager.hear(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier(manager, watchdog_seconds=0.001).keep_alive)
        assert await trio.to_thread.run_sync(heard.wait, PATIENCE_SECONDS)
        stuck.set()
        assert silent.wait(PATIENCE_SECONDS)  # the fault
        assert await trio.to_thread.run_sync(again.wait, PATIENCE_SECONDS)
        nursery.cancel_scope.cancel()
    over.set()
    watcher.join()


async def test_nobody_who_watches_is_told_nothing() -> None:
    told = Notifier(None)
    told.ready("serving")
    await told.keep_alive()
    await Notifier(NotifySettings("/nowhere")).keep_alive()


@pytest.mark.logs("the service manager cannot be told: .*No such file")
def test_a_service_manager_that_is_gone_is_complained_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Notifier(NotifySettings(str(tmp_path / "gone")))
    told.ready("serving")
    told.status("serving")
    assert [record.levelname for record in caplog.records if "service manager" in record.message].count("WARNING") == 1


@pytest.mark.logs("the service manager cannot be told: timed out")
def test_a_service_manager_that_does_not_listen_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.service.notify._SEND_SECONDS", 0.001)
    with service_manager(tmp_path / "notify", busy=True) as manager:
        told = notifier(manager)
        for _ in range(2000):  # more than a socket holds (net.unix.max_dgram_qlen)
            told.status("x")
        assert manager.hear(0) == {"STATUS": "x"}


def test_the_environment_is_read_and_emptied() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    assert take_supervision(environment) == NotifySettings("@x", 3.0)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({"NOTIFY_SOCKET": "relative"}, None),
        ({"NOTIFY_SOCKET": "@"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, NotifySettings("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "500000"}, NotifySettings("/run/n", 0.5)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, NotifySettings("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, NotifySettings("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "-5"}, NotifySettings("/run/n")),
    ],
)
def test_what_is_not_for_us_is_left_alone(variables: dict[str, str], expected: NotifySettings | None) -> None:
    assert take_supervision(dict(variables)) == expected
