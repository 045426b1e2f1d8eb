"""Blobs by range: which bytes come, which answers are believed, and where they come from."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.support.little_model import BLOB, DATA
from tests.support.wrong_answers import WANTED, WRONG_ANSWERS

WHOLE = ByteRange(0, len(DATA))


async def read(repository: Repository, blob: Descriptor, wanted: ByteRange = WANTED, *, fresh: bool = False) -> bytes:
    """The bytes of `wanted`, cut out of what came."""
    async with repository.open_range(blob, wanted, fresh=fresh) as stream:
        data = b"".join([piece async for piece in stream])
        assert len(data) == stream.range.length
        assert stream.range.covers(wanted)
        return data[wanted.start - stream.range.start : wanted.stop - stream.range.start]


@pytest.mark.parametrize("wanted", [WANTED, WHOLE, ByteRange(0, 1), ByteRange(len(DATA) - 1, len(DATA))], ids=str)
async def test_a_range_brings_exactly_its_bytes(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, wanted: ByteRange
) -> None:
    async with repository.open_range(blob, wanted) as stream:
        assert (stream.range, stream.host) == (wanted, "registry.test")
        assert b"".join([piece async for piece in stream]) == DATA[wanted.start : wanted.stop]
    assert registry.bytes_sent(BLOB) == wanted.length


@pytest.mark.parametrize("wanted", [ByteRange(5, 5), ByteRange(0, len(DATA) + 1)], ids=str)
async def test_a_range_that_is_none_is_the_callers_mistake(repository: Repository, blob: Descriptor, wanted: ByteRange) -> None:
    with pytest.raises(ValueError, match="no range to ask for"):
        await read(repository, blob, wanted)


async def test_a_cache_that_ignores_ranges_delivers_the_whole_blob(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    registry.faults.install(Fault(Match(), faults.IgnoreRange()))
    async with repository.open_range(blob, WANTED) as stream:
        assert stream.range == WHOLE
    assert await read(repository, blob) == DATA[WANTED.start : WANTED.stop]


@pytest.mark.parametrize("first", [faults.IgnoreRange(), None])
async def test_a_body_without_its_length_is_counted(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, first: faults.Action | None
) -> None:
    for action in (first, faults.NoContentLength()):
        if action is not None:
            registry.faults.install(Fault(Match(), action))
    assert await read(repository, blob) == DATA[WANTED.start : WANTED.stop]


@pytest.mark.parametrize(("actions", "words"), WRONG_ANSWERS)
async def test_an_answer_that_is_not_exactly_what_was_asked_for_is_no_answer(
    registry: MemoryRegistry,
    repository: Repository,
    blob: Descriptor,
    autojump_clock: MockClock,
    actions: list[faults.Action],
    words: str,
) -> None:
    for action in actions:
        registry.faults.install(Fault(Match(), action))
    with pytest.raises(Unreachable, match=words) as caught:
        await read(repository, blob)
    assert len(caught.value.lines()) <= 3
    assert len(registry.requests()) == 1  # whoever proves the bytes decides about the next try


async def test_a_slow_body_is_read_as_long_as_bytes_come(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Slow(2000)))
    assert await read(repository, blob) == DATA[WANTED.start : WANTED.stop]
    assert trio.current_time() > 30


async def test_a_blob_that_is_not_there_is_named(repository: Repository) -> None:
    missing = Descriptor("x", Digest.of(b"missing"), 7)
    with pytest.raises(NotFound, match=f"blob {missing.digest} not found: BLOB_UNKNOWN"):
        await read(repository, missing, ByteRange(0, 5))


async def test_fresh_bytes_are_asked_for_past_the_caches(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    await read(repository, blob)
    await read(repository, blob, fresh=True)
    assert ["cache-control" in each.header_names for each in registry.requests()] == [False, True]


async def test_every_request_says_who_asks_and_wants_the_bytes_as_they_are(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor, reference: Reference
) -> None:
    await repository.resolve(reference)
    await read(repository, blob)
    manifest, ranged = (set(each.header_names) for each in registry.requests())
    assert manifest == {"host", "user-agent", "accept-encoding", "accept"}  # never a range on a manifest
    assert ranged == {"host", "user-agent", "accept-encoding", "range"}


async def test_more_readers_than_connections_are_all_served(
    client: Callable[..., RegistryClient], reference: Reference, blob: Descriptor
) -> None:
    asking = client()
    repository, got = asking.repository(reference), []

    async def reader(number: int) -> None:
        got.append(await read(repository, blob, ByteRange(number, number + 1000)) == DATA[number : number + 1000])

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(reader, number)
    assert got == [True] * 100
    assert (asking.statistics().requests, asking.statistics().received_bytes, asking.statistics().answers) == (100, 100_000, 0)


async def test_a_cookie_is_not_kept(registry: MemoryRegistry, repository: Repository, reference: Reference) -> None:
    registry.faults.install(Fault(Match(), faults.Status(503, {"Set-Cookie": "session=pl4nted; Path=/"}), times=1))
    with pytest.raises(Unreachable):
        await read(repository, Descriptor("x", BLOB, len(DATA)))
    await repository.resolve(reference)
    assert all("cookie" not in each.header_names for each in registry.requests())
