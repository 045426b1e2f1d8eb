"""Being a good client: hosts that ask for peace get it, and warnings are passed on once."""

from collections.abc import Callable
from email.utils import formatdate

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.manners import SPREAD_SECONDS, UNSAID_SECONDS, WARNINGS_SHOWN
from mkfs.registry.replies import retry_after_seconds
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.registry.test_replies import Answered
from tests.support.little_model import DATA, MANIFEST

NOON = 1_795_608_000.0
AT_NOON = "Wed, 25 Nov 2026 12:00:00 GMT"
LATER = "Wed, 25 Nov 2026 12:02:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 30}, 999_999_999),
        ({"Retry-After": LATER}, 120),
        ({"Retry-After": AT_NOON}, 0),
        ({"Retry-After": "Wed, 25 Nov 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": LATER, "Date": "Wed, 25 Nov 2026 12:01:30 GMT"}, 30),
        ({"Retry-After": "Wednesday, 25-Nov-26 12:02:00 GMT"}, 120),
        ({"Retry-After": LATER, "Date": "now"}, 120),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "٣"}, None),
        ({}, None),
    ],
)
def test_both_forms_of_retry_after_are_read(headers: dict[str, str], seconds: float | None) -> None:
    assert formatdate(NOON, usegmt=True) == AT_NOON
    assert retry_after_seconds(Answered(429, list(headers.items())), NOON) == seconds


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_is_left_alone_as_long_as_it_asks(
    registry: MemoryRegistry, repository: Repository, reference: Reference, autojump_clock: MockClock, status: int
) -> None:
    registry.faults.install(Fault(Match(), faults.Status(status, {"Retry-After": "7"}), times=2))
    start = trio.current_time()
    assert (await repository.resolve(reference)).data == MANIFEST
    assert 14 <= trio.current_time() - start <= 14 + 2 * SPREAD_SECONDS + 3
    assert len(registry.log) == 3


async def test_so_it_is_by_all_who_read_there(
    registry: MemoryRegistry, repository: Repository, reference: Reference, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Status(429, {"Retry-After": "9"}), times=1))
    with pytest.raises(Unreachable, match="too many requests, again after 9 s"):
        async with repository.open_range(blob, ByteRange(0, 5)):
            pass
    arrived = []

    async def read() -> None:
        async with repository.open_range(blob, ByteRange(0, 5)) as stream:
            assert b"".join([piece async for piece in stream]) == DATA[:5]
            arrived.append(trio.current_time())

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(read)
    assert 9 <= min(arrived) - start <= max(arrived) - start <= 9 + SPREAD_SECONDS
    assert len({round(moment, 6) for moment in arrived}) > 10  # not all at once


async def test_other_hosts_are_asked_meanwhile(
    registry: MemoryRegistry, storage: MemoryRegistry, client: Callable[..., RegistryClient], autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Status(429, {"Retry-After": "1000"})))
    asking = client()
    reference = Reference.parse("registry.test/team/model:7b")
    other = Reference.parse("storage.test/any:1")
    storage.push("any", "1", MANIFEST)
    with pytest.raises(Unreachable, match="too many requests, again after 1000 s"):
        await asking.repository(reference).resolve(reference)
    assert (await asking.repository(other).resolve(other)).data == MANIFEST
    with pytest.raises(Unreachable, match=r"registry.test|left alone for another 1000 s"):
        await asking.repository(reference).resolve(reference)
    assert (len(registry.log), asking.statistics().held_back) == (1, 1)


async def test_where_it_does_not_say_when_a_moment_is_left(
    registry: MemoryRegistry, repository: Repository, reference: Reference, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Status(429), times=1))
    start = trio.current_time()
    await repository.resolve(reference)
    assert UNSAID_SECONDS <= trio.current_time() - start <= UNSAID_SECONDS + SPREAD_SECONDS + 1


@pytest.mark.logs("registry.test warns: the model is deprecated", 'registry.test warns: and this says "more"')
async def test_a_warning_is_said_once(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    asking = client()
    text = '299 - "the model is deprecated", 299 - "and this says \\"more\\"", 199 - "not for us", nonsense'
    registry.faults.install(Fault(Match(), Warned(text)))
    for _ in range(3):
        await asking.repository(reference).resolve(reference)
    assert len(caplog.messages) == asking.statistics().warnings == 2


@pytest.mark.logs("registry.test warns: [0-9]+ https:..…")
async def test_a_host_with_ever_more_to_say_is_cut_off(
    registry: MemoryRegistry, repository: Repository, reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(WARNINGS_SHOWN + 10):
        fault = Fault(Match(), Warned(f'299 - "{number} https://a.test/x?token=pl4nted\x1b[31m"'))
        registry.faults.install(fault)
        await repository.resolve(reference)
        registry.faults.mend(fault)
    assert len(caplog.messages) == WARNINGS_SHOWN
    assert not any("pl4nted" in message or "\x1b" in message for message in caplog.messages)


class Warned:
    """An answer with a warning."""

    def __init__(self, text: str) -> None:
        self.text = text

    def apply(self, answer, /):
        return faults.replace(answer, headers={**answer.headers, "Warning": self.text})
