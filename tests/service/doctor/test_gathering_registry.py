"""Facts of a registry that need no registry: names, clocks, who answered."""

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from mkfs.oci.reference import Reference
from mkfs.registry.listening import Heard
from mkfs.registry.proxies import Proxies
from mkfs.registry.routes import Route
from mkfs.registry.settings import ClientSettings
from mkfs.registry.urls import Origin
from mkfs.service.doctor.examining import MACHINE_SECONDS, REGISTRY_SECONDS, examine
from mkfs.service.doctor.finding import Status
from mkfs.service.doctor.gathering.registry import DNS_SECONDS, answered_by, clock, names
from mkfs.service.doctor.judging.registry import Answered, Clock, Name
from mkfs.service.doctor.situation import Situation
from mkfs.service.settings import SourceSettings

HOST, MIRROR = Origin("https", "registry.test", 443), Origin("https", "mirror.test", 443)
REFERENCE = Reference.parse("registry.test/team/model:7b")
DATE, SECONDS = "Thu, 26 Nov 2026 00:00:00 GMT", 1795651200.0


def route(origin: Origin, *, tags: bool = True) -> Route:
    return Route(origin, "registry.test", "team/model", plain_http=False, tags=tags)


def heard(origin: Origin, seconds: float = 0.1, date: str = "", local_seconds: float = 0.0, status: int = 200) -> Heard:
    return Heard("GET", origin, "manifests", status, seconds, "", date, local_seconds)


Answer = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


class Resolver(trio.abc.HostnameResolver):
    """Knows the registry; of the mirror it says nothing, ever."""

    async def getaddrinfo(  # type: ignore[override]  # what nobody passes is left out
        self, host: bytes | None, port: object, *_rest: object, **_more: object
    ) -> list[Answer]:
        if host == b"mirror.test":
            await trio.sleep_forever()
        if host == b"nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))
        return [answer, answer]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_a_resolver_that_does_not_answer_has_its_time(autojump_clock: MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    nowhere = Origin("https", "nowhere.test", 443)
    found = await names(ClientSettings(), [route(MIRROR), route(nowhere), route(HOST)])
    assert trio.current_time() == pytest.approx(DNS_SECONDS)
    assert found == (
        Name("mirror.test", True, trouble="no answer from the resolver within 5 s"),
        Name("nowhere.test", True, trouble="the name cannot be looked up (name or service not known)"),
        Name("registry.test", False, ("192.0.2.1",)),
    )


async def test_a_proxy_looks_names_up_itself() -> None:
    client = ClientSettings(proxies=Proxies(https="http://proxy.test:3128"))
    assert await names(client, [route(HOST)]) == (Name("registry.test", False, proxied=True),)


@pytest.mark.parametrize(
    ("answers", "ahead"),
    [
        ([], None),
        ([heard(HOST)], None),
        ([heard(HOST, date="yesterday")], None),
        ([heard(HOST, 0.9, DATE, SECONDS + 99), heard(HOST, 0.1, DATE, SECONDS + 7)], 7.0),
        ([heard(HOST, 0.1, DATE, SECONDS - 3600)], -3600.0),
    ],
)
def test_the_fastest_answer_tells_the_time(answers: Sequence[Heard], ahead: float | None) -> None:
    assert clock(answers) == Clock(ahead)


def test_who_answered() -> None:
    both = [route(MIRROR), route(HOST)]
    assert answered_by(REFERENCE, [route(HOST)], [heard(HOST)]) == Answered("registry.test", "registry.test")
    assert answered_by(REFERENCE, both, [heard(MIRROR)]) == Answered("registry.test", "mirror.test", is_mirror=True)
    passed = Answered("registry.test", "registry.test", passed_over=("mirror.test",))
    assert answered_by(REFERENCE, both, [heard(MIRROR, status=503), heard(HOST)]) == passed
    assert answered_by(REFERENCE, both, [heard(HOST)]) == passed  # it did not even answer
    both[0] = route(MIRROR, tags=False)
    assert answered_by(REFERENCE, both, [heard(HOST)]) == Answered("registry.test", "registry.test")


def test_files_that_nobody_can_open_hold_up_their_check_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO in the place of docker's file: whoever opens it waits for ever, as on a file system that answers no more."""
    os.mkfifo(tmp_path / "config.json")
    client = ClientSettings(credential_files=(str(tmp_path / "config.json"),))
    situation = Situation(
        source=SourceSettings(reference="registry.test/a:1", cache_dir=str(tmp_path / "cache"), client=client),
        log_dir=str(tmp_path),
        runtime_dir=str(tmp_path),
        read_timeout_seconds=300.0,
        uid=os.geteuid(),
    )
    told, ahead_seconds = [], 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_seconds, sleep=time.sleep)
    monkeypatch.setattr("mkfs.service.doctor.children.time", clock)
    for each in examine(situation):
        told.append(each)
        # the next one is listened to, and hangs: for it alone time is over, however long the others take on a busy machine
        ahead_seconds = max(MACHINE_SECONDS, REGISTRY_SECONDS) if each.check in {"network.tls", "registry.dns"} else 0.0
    findings = {each.check: each.finding for each in told if each.finding is not None}
    late = {check: finding.exit_code for check, finding in findings.items() if "no answer within" in finding.text}
    assert late == {"network.logins": 1, "registry.answer": 12}
    assert all(findings[check].remedy for check in late)
    assert findings["services.manager"].status is Status.OK
