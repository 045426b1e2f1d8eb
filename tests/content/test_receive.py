"""One range into memory: what breaks is asked for again, and what is said again and again is believed in the end."""

import pytest
import trio
from trio.testing import MockClock

from mkfs.content.patience import OTHER_SIZE_TRIES
from mkfs.content.receive import receive
from mkfs.errors import Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.sources import MemoryReader

CONTENT = bytes(range(100))
BLOB = Descriptor("application/x", Digest.of(CONTENT), len(CONTENT))


@pytest.mark.parametrize("held", [CONTENT[:-1], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_another_size_is_a_verdict_after_a_few_tries(autojump_clock: MockClock, held: bytes) -> None:
    reader = MemoryReader({BLOB.digest: held})
    started = trio.current_time()
    with pytest.raises(Mismatch, match="not a blob of 100 bytes"):
        await receive(reader, BLOB, ByteRange(0, 10), memoryview(bytearray(10)))
    assert len(reader.requests()) == OTHER_SIZE_TRIES
    assert trio.current_time() - started < 1


async def test_another_size_that_is_said_once_costs_a_try(autojump_clock: MockClock) -> None:
    reader = MemoryReader({BLOB.digest: CONTENT[:-1]})
    into = bytearray(100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive, reader, BLOB, ByteRange(0, 100), memoryview(into))
        await trio.sleep(0.05)
        assert len(reader.requests()) == 1
        reader.blobs[BLOB.digest] = MemoryBody(CONTENT)
    assert into == CONTENT
