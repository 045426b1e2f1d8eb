"""How many reads the table of a layer costs, and how many bytes."""

from collections.abc import Callable
from itertools import pairwise

from mkfs.archive.windows import HEAD_WINDOW_BYTES, LARGEST_WINDOW_BYTES, NEAR_BYTES, TAIL_BYTES, is_padded, next_window
from mkfs.ranges import ByteRange
from tests.archive.tarballs import BLOCK, END, extended, header, member, pax, record, scan_windows

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def sparse(*pieces: bytes | int) -> tuple[Callable[[ByteRange], bytes], int]:
    """A layer of pieces and of holes of so many bytes, none of which is ever held whole."""
    placed: list[tuple[int, bytes]] = []
    size_bytes = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            placed.append((size_bytes, piece))
        size_bytes += piece if isinstance(piece, int) else len(piece)

    def read(window: ByteRange) -> bytes:
        out = bytearray(window.length)
        for start, piece in placed:
            shared = window.overlap(ByteRange(start, start + len(piece)))
            at = shared.start - window.start
            out[at : at + shared.length] = piece[shared.start - start : shared.stop - start]
        return bytes(out)

    return read, size_bytes


def test_one_large_file_costs_two_reads() -> None:
    read, size_bytes = sparse(header(b"model.safetensors", size=GIB), GIB, END)
    table, windows = scan_windows(read, size_bytes)
    assert [(entry.path, entry.size_bytes) for entry in table] == [(b"model.safetensors", GIB)]
    assert windows == [ByteRange(0, HEAD_WINDOW_BYTES), ByteRange(GIB + BLOCK, size_bytes)]


def test_a_layer_as_kit_writes_it_costs_two_reads() -> None:
    parents = header(b"a", flag=b"5", mode=0o755) + header(b"a/b", flag=b"5", mode=0o755)
    read, size_bytes = sparse(parents, header(b"a/b/c.bin", size=GIB + 1), GIB + BLOCK, END)
    table, windows = scan_windows(read, size_bytes)
    assert [entry.path for entry in table] == [b"a", b"a/b", b"a/b/c.bin"]
    assert len(windows) == 2
    assert sum(window.length for window in windows) <= HEAD_WINDOW_BYTES + TAIL_BYTES


def test_each_further_large_file_costs_one_read_more() -> None:
    shards = [piece for number in range(5) for piece in (header(b"shard-%d" % number, size=GIB), GIB)]
    read, size_bytes = sparse(*shards, END)
    table, windows = scan_windows(read, size_bytes)
    assert (len(table), len(windows)) == (5, 6)
    assert {window.length for window in windows[:-1]} == {HEAD_WINDOW_BYTES}


def test_many_small_files_are_read_straight_on() -> None:
    data = b"".join(member(b"tokens/%04d.json" % number, b"x" * 1000) for number in range(2000)) + END
    table, windows = scan_windows(lambda window: data[window.start : window.stop], len(data))
    assert (len(table), len(windows)) == (2000, 8)
    assert all(after.start >= before.stop for before, after in pairwise(windows)), "no byte is read twice"
    assert max(window.length for window in windows) <= LARGEST_WINDOW_BYTES + TAIL_BYTES


def test_after_small_files_a_large_one_is_hopped_over() -> None:
    small = b"".join(member(b"%04d" % number, b"x" * 1000) for number in range(500))
    read, size_bytes = sparse(small, header(b"large", size=GIB), GIB, member(b"last") + END)
    table, windows = scan_windows(read, size_bytes)
    assert len(table) == 502
    assert sum(window.length for window in windows) < 2 * MIB
    assert windows[-1] == ByteRange(size_bytes - 3 * BLOCK, size_bytes)


def test_middling_files_are_not_a_round_trip_each() -> None:
    files = [piece for number in range(300) for piece in (header(b"%03d.jpg" % number, size=96 * KIB), 96 * KIB)]
    table, windows = scan_windows(*sparse(*files, END))
    assert len(table) == 300
    assert len(windows) < 50


def test_a_small_layer_is_read_at_once() -> None:
    data = b"".join(member(b"%d" % number, b"x" * 5000) for number in range(5)) + END
    assert len(data) > HEAD_WINDOW_BYTES
    assert scan_windows(lambda window: data[window.start : window.stop], len(data))[1] == [ByteRange(0, len(data))]


def test_a_long_extended_header_comes_whole() -> None:
    data = extended(b"x", record(b"comment", b"c" * 900_000)) + member(b"a", bytes(MIB)) + pax({b"path": b"b"}) + header() + END
    table, windows = scan_windows(lambda window: data[window.start : window.stop], len(data))
    assert [entry.path for entry in table] == [b"a", b"b"]
    assert len(windows) == 3


def test_windows_start_at_what_is_wanted_and_stay_in_the_layer() -> None:
    wanted = ByteRange(100, 612)
    assert next_window(wanted, 612) == wanted
    assert next_window(wanted, GIB) == ByteRange(100, 100 + HEAD_WINDOW_BYTES)
    near, far = ByteRange(0, 64 * KIB), ByteRange(64 * KIB + NEAR_BYTES, 64 * KIB + NEAR_BYTES + BLOCK)
    assert next_window(far, GIB, near).length == 128 * KIB
    assert next_window(ByteRange(far.start + 1, far.stop + 1), GIB, near).length == HEAD_WINDOW_BYTES
    large = ByteRange(0, LARGEST_WINDOW_BYTES)
    assert next_window(ByteRange(MIB, MIB + BLOCK), GIB, large).length == LARGEST_WINDOW_BYTES
    assert next_window(far, far.start + HEAD_WINDOW_BYTES + TAIL_BYTES) == ByteRange(
        far.start, far.start + HEAD_WINDOW_BYTES + TAIL_BYTES
    )


def test_whether_an_archive_may_be_padded_is_told_by_its_length() -> None:
    assert [size_bytes for size_bytes in (0, 512, 10_239, 10_240, 10_241, 20_480) if is_padded(size_bytes)] == [0, 10_240, 20_480]
