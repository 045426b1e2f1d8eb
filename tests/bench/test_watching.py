"""What the hook in the daemon counts is what whoever measures finds."""

import asyncio

from bench.hook import sitecustomize
from bench.watching import Seen, Watch
from mkfs.units import KIB, MIB

COUNTS = 14


async def read(operations: object, fh: int, off: int, size: int) -> bytes:
    return bytes(size)


def test_reads_are_counted_by_size_and_answered_as_before() -> None:
    counts = memoryview(bytearray(8 * COUNTS)).cast("Q")
    counted, watch = sitecustomize._counting(read, counts), Watch(counts)
    for size in (1, 4 * KIB, 4 * KIB + 1, 128 * KIB, 128 * KIB, MIB, 2 * MIB, 64 * MIB):
        assert asyncio.run(counted(None, 0, 0, size)) == bytes(size)
    seen = watch.look()
    assert (seen.read_requests, seen.histogram()) == (8, "2 × 4K, 1 × 8K, 2 × 128K, 1 × 1M, 2 × 2M")


def test_a_look_begins_anew() -> None:
    counts = memoryview(bytearray(8 * COUNTS)).cast("Q")
    counts[:4] = memoryview(b"".join(number.to_bytes(8, "little") for number in (7, 1, 20_000_000, 3_000_000))).cast("Q")
    watch = Watch(counts)
    assert watch.look() == Seen(7, 1, 0.02, 0.003, (0,) * 10)
    assert watch.look() == Seen(reads=(0,) * 10)
