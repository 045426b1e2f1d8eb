"""Memory as a source of ranges: what a prover of bytes sees when a registry misbehaves. Time is trio's autojump clock."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from mkfs.errors import MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.testing import faults
from mkfs.testing.bodies import SeededBody, digest_of
from mkfs.testing.faults import Fault, Match
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB

BODY = SeededBody(seed=3, size_bytes=3 * MIB + 17)
BLOB = Descriptor("application/octet-stream", digest_of(BODY), BODY.size_bytes)
WANTED = ByteRange(MIB - 5, 2 * MIB + 9)


@pytest.fixture
def reader() -> MemoryReader:
    return MemoryReader({BLOB.digest: BODY})


async def read(reader: MemoryReader, wanted: ByteRange = WANTED, *, fresh: bool = False) -> bytes:
    async with reader.open_range(BLOB, wanted, fresh=fresh) as stream:
        return b"".join([piece async for piece in stream])


async def test_a_range_is_the_bytes_asked_for_and_is_counted(reader: MemoryReader) -> None:
    assert await read(reader, fresh=True) == BODY.read(WANTED)
    assert reader.bytes_sent(BLOB.digest) == WANTED.length
    (served,) = reader.requests()
    assert (served.range, served.header_names) == (WANTED, ("cache-control", "range"))


async def test_a_flipped_byte_arrives_until_it_is_mended(reader: MemoryReader) -> None:
    fault = reader.faults.install(Fault(Match(digest=BLOB.digest), faults.Flip(MIB)))
    assert await read(reader) != BODY.read(WANTED)
    reader.faults.mend(fault)
    assert await read(reader) == BODY.read(WANTED)


async def test_a_source_that_ignores_ranges_says_that_it_sends_everything(reader: MemoryReader) -> None:
    reader.faults.install(Fault(Match(), faults.IgnoreRange()))
    async with reader.open_range(BLOB, WANTED) as stream:
        assert stream.range == ByteRange(0, BODY.size_bytes)
        assert b"".join([piece async for piece in stream]) == BODY.read(stream.range)


@pytest.mark.parametrize(
    "action",
    [
        faults.Status(503),
        faults.Reset(None),
        faults.Reset(10),
        faults.ShortBody(10),
        faults.ShortBody(10, honest=True),
        faults.LongBody(),
        faults.WrongContentRange(),
        faults.MissingContentRange(),
        faults.Encoded(),
        faults.Html200(),
    ],
)
async def test_an_answer_that_is_not_the_range_is_unreachable(reader: MemoryReader, action: faults.Action) -> None:
    reader.faults.install(Fault(Match(), action, times=2))
    for _ in range(2):
        with pytest.raises(Unreachable):
            await read(reader)
    assert await read(reader) == BODY.read(WANTED)


@pytest.mark.parametrize("action", [faults.ShortBody(10, honest=True), faults.LongBody(), faults.Encoded()], ids=str)
async def test_an_answer_of_unannounced_length_is_counted(reader: MemoryReader, action: faults.Action) -> None:
    reader.faults.install(Fault(Match(), faults.NoContentLength()))
    assert await read(reader) == BODY.read(WANTED)
    reader.faults.install(Fault(Match(), action))
    with pytest.raises(Unreachable):
        await read(reader)
    assert reader.bytes_sent() <= 2 * WANTED.length


@pytest.mark.parametrize("actions", [[faults.LongBody()], [faults.NoContentLength(), faults.Encoded()]], ids=str)
async def test_a_wrong_length_or_coding_is_noticed_at_once(reader: MemoryReader, actions: list[faults.Action]) -> None:
    for action in actions:
        reader.faults.install(Fault(Match(), action))
    with pytest.raises(Unreachable):
        async with reader.open_range(BLOB, WANTED):
            pytest.fail("opened")


@pytest.mark.parametrize(("code", "error"), [(404, NotFound), (401, NotAuthorised), (403, NotAuthorised)])
async def test_a_refusal_has_its_own_error(reader: MemoryReader, code: int, error: type[MkfsError]) -> None:
    reader.faults.install(Fault(Match(), faults.Status(code)))
    with pytest.raises(error):
        await read(reader)


@pytest.mark.parametrize(
    ("action", "sent_bytes"), [(lambda: faults.Stall(after_bytes=100), 100), (faults.Withhold, 0)], ids=["stalled", "withheld"]
)
async def test_a_held_answer_waits_for_its_release_and_leaves_others_alone(
    reader: MemoryReader, action: Callable[[], faults.Stall | faults.Withhold], sent_bytes: int
) -> None:
    held = action()
    reader.faults.install(Fault(Match(offset=WANTED.start), held))
    async with trio.open_nursery() as nursery:

        async def late() -> None:
            assert await read(reader) == BODY.read(WANTED)

        nursery.start_soon(late)
        await trio.testing.wait_all_tasks_blocked()
        assert (held.gate.waiting, reader.bytes_sent()) == (1, sent_bytes)
        assert await read(reader, ByteRange(0, 4)) == BODY.read(ByteRange(0, 4))
        held.release()
    assert held.gate.waiting == 0


async def test_a_stall_ends_where_the_reader_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    reader = MemoryReader({BLOB.digest: BODY}, stall_seconds=30)
    held = faults.Stall()
    reader.faults.install(Fault(Match(), held))
    began = trio.current_time()
    with pytest.raises(Unreachable, match="30 s"):
        await read(reader)
    assert trio.current_time() - began == pytest.approx(30)
    assert held.gate.waiting == 0


async def test_a_slow_source_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    reader = MemoryReader({BLOB.digest: BODY})
    reader.faults.install(Fault(Match(), faults.Slow(bytes_per_second=10)))
    reader.faults.install(Fault(Match(), faults.Delay(seconds=5)))
    began = trio.current_time()
    assert await read(reader, ByteRange(7, 107)) == BODY.read(ByteRange(7, 107))
    assert trio.current_time() - began == pytest.approx(15)


async def test_a_read_that_is_left_early_counts_what_it_got(reader: MemoryReader) -> None:
    async with reader.open_range(BLOB, ByteRange(0, BLOB.size_bytes)) as stream:
        async for piece in stream:
            assert len(piece) == MIB
            break
    assert reader.bytes_sent(BLOB.digest) == MIB


async def test_the_nth_request_and_those_after_it(reader: MemoryReader) -> None:
    reader.faults.install(Fault(Match(nth=2), faults.Status(500), times=1))
    await read(reader)
    with pytest.raises(Unreachable):
        await read(reader)
    await read(reader)
