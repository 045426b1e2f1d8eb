"""How many requests and round trips the names of a tar layer take, and what is believed of its end without looking."""

from collections.abc import Iterable

import pytest
import trio

from mkfs.content.tables import fetch_table
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Delay, Fault, Match
from mkfs.testing.sources import MemoryReader
from mkfs.units import KIB, MIB
from tests.archive.tarballs import BLOCK, END, header, member

pytestmark = pytest.mark.usefixtures("autojump_clock")

RECORD = 20 * BLOCK
LARGE = bytes(MIB)
WINDOW = 16 * KIB
HEAD = ByteRange(0, WINDOW)


async def scanned(archive: bytes) -> tuple[list[bytes], set[ByteRange], float]:
    """The names, what was asked for, and in how many round trips: every answer takes one second."""
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(archive), len(archive))
    reader = MemoryReader({blob.digest: archive})
    reader.faults.install(Fault(Match(), Delay(1)))
    started = trio.current_time()
    table = await fetch_table(reader, blob)
    asked = {request.range for request in reader.requests() if request.range is not None}
    return [entry.path for entry in table], asked, trio.current_time() - started


def tail_of(archive: bytes) -> ByteRange:
    return ByteRange(len(archive) - WINDOW, len(archive))


def joined(*pieces: bytes, to: int = 1) -> bytes:
    """An archive of these, padded to a multiple of `to`."""
    archive = b"".join((*pieces, END))
    return archive + bytes(-len(archive) % to)


@pytest.mark.parametrize("before", [(), (header(b"model", flag=b"5"),)])
async def test_the_head_of_a_layer_of_one_file_tells_all(before: Iterable[bytes]) -> None:
    names, asked, rounds = await scanned(joined(*before, member(b"model.bin", LARGE)))
    assert names[-1] == b"model.bin"
    assert (asked, rounds) == ({HEAD}, 1)


async def test_head_and_tail_of_a_padded_one_are_read_at_once() -> None:
    archive = joined(member(b"model.bin", LARGE), to=RECORD)
    assert await scanned(archive) == ([b"model.bin"], {HEAD, tail_of(archive)}, 1)


async def test_the_tail_comes_with_the_second_header() -> None:
    archive = joined(member(b"a.bin", LARGE), member(b"b.bin", LARGE), member(b"c.txt", b"c"))
    second = ByteRange(BLOCK + MIB, BLOCK + MIB + WINDOW)
    assert await scanned(archive) == ([b"a.bin", b"b.bin", b"c.txt"], {HEAD, second, tail_of(archive)}, 2)


async def test_a_tail_that_the_head_leads_to_is_read_once() -> None:
    archive = joined(member(b"a.bin", LARGE), member(b"b.txt", b"b"))
    assert await scanned(archive) == ([b"a.bin", b"b.txt"], {HEAD, ByteRange(BLOCK + MIB, len(archive))}, 2)


async def test_what_stands_in_the_place_of_the_end_mark_is_for_the_proof_to_find() -> None:
    names, asked, _ = await scanned(member(b"a.bin", LARGE) + header(b"b") + header(b"c"))
    assert (names, asked) == ([b"a.bin"], {HEAD})
