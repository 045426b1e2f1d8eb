"""Compressed layers, sound ones and those made to break or to fill whoever reads them: their content, or `BadArchive`."""

import bz2
import gzip
import lzma
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from mkfs.archive import compression
from mkfs.archive.compression import PIECE_BYTES, Decompressor, content_limit
from mkfs.archive.gzip import content_size_hint as gzip_hint
from mkfs.archive.zstd import content_size_hint as zstd_hint
from mkfs.errors import BadArchive
from mkfs.units import GIB, MIB

TEXT = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(9_000))  # 300 kB that compress, but not to nothing
NOISE = random.Random(7).randbytes(200_000)


def inflated(name: str, data: bytes, *, step_bytes: int = 10**9, limit_bytes: int = GIB) -> bytes:
    """What `data` comes to when it arrives in steps."""
    decompressor = Decompressor(name, "layer sha256:abc", limit_bytes)
    pieces = []
    for at in range(0, len(data), step_bytes):
        pieces += decompressor.feed(memoryview(data)[at : at + step_bytes])
    decompressor.finish()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    assert decompressor.content_bytes == sum(map(len, pieces))
    return b"".join(pieces)


def gzip_of(data: bytes, *, flags: int = 0, fields: bytes = b"", crc: int | None = None, size: int | None = None) -> bytes:
    """A member byte by byte."""
    deflate = zlib.compressobj(wbits=-15)
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + fields
    trailer = struct.pack("<II", zlib.crc32(data) if crc is None else crc, len(data) if size is None else size)
    return head + deflate.compress(data) + deflate.flush() + trailer


def header_crc(head: bytes) -> bytes:
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF)


def frame(*blocks: bytes, window: int | None = 0, dictionary: int | None = None, size: int | None = None, flags: int = 0) -> bytes:
    """A frame byte by byte. `window` is the descriptor (None: a single segment), `size` of the content as the header has it."""
    flags |= (3 << 6 if size is not None else 0) | (3 if dictionary is not None else 0) | (1 << 5 if window is None else 0)
    head = b"\x28\xb5\x2f\xfd" + bytes([flags]) + (b"" if window is None else bytes([window]))
    head += b"" if dictionary is None else struct.pack("<I", dictionary)
    return head + (b"" if size is None else struct.pack("<Q", size)) + b"".join(blocks)


def block(data: bytes, *, last: bool = True) -> bytes:
    return struct.pack("<I", len(data) << 3 | last)[:3] + data


def repeated(byte: bytes, count: int, *, last: bool = True) -> bytes:
    """A block of one byte, `count` times: four bytes long."""
    return struct.pack("<I", count << 3 | 1 << 1 | last)[:3] + byte


def zstd_stream(data: bytes) -> bytes:
    """A frame whose writer did not know how much would come."""
    compressor = zstd.ZstdCompressor()
    return compressor.compress(data) + compressor.flush()


def skippable(data: bytes, number: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


WINDOW_128_KIB, WINDOW_128_MIB = 7 << 3, 17 << 3
HEAD = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0"

# by name: format, bytes, content
SOUND: dict[str, tuple[str, bytes, bytes]] = {
    "gzip as kit writes it": ("gzip", gzip_of(TEXT), TEXT),
    "gzip of nothing": ("gzip", gzip_of(b""), b""),
    "gzip of noise": ("gzip", gzip.compress(NOISE), NOISE),
    "gzip, stored": ("gzip", gzip.compress(NOISE, 0), NOISE),
    "gzip with all fields": ("gzip", HEAD + header_crc(HEAD) + gzip_of(b"x")[10:], b"x"),
    "gzip with a long name": ("gzip", gzip_of(b"x", flags=8, fields=b"n" * 100_000 + b"\0"), b"x"),
    "gzip members": ("gzip", gzip_of(TEXT) + gzip_of(b"") + gzip.compress(NOISE), TEXT + NOISE),
    "gzip of many empty members": ("gzip", gzip_of(b"") * 5_000 + gzip_of(b"end"), b"end"),
    "gzip of just a piece": ("gzip", gzip_of(bytes(PIECE_BYTES)), bytes(PIECE_BYTES)),
    "gzip of a piece and a byte": ("gzip", gzip_of(bytes(PIECE_BYTES + 1)), bytes(PIECE_BYTES + 1)),
    "zstd": ("zstd", zstd.compress(TEXT), TEXT),
    "zstd without the size": ("zstd", zstd_stream(TEXT), TEXT),
    "zstd with a checksum": ("zstd", zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}), TEXT),
    "zstd of nothing": ("zstd", zstd.compress(b""), b""),
    "zstd as kit writes an empty file": ("zstd", b"", b""),
    "zstd frames": ("zstd", zstd.compress(TEXT) + zstd.compress(b"") + zstd.compress(NOISE), TEXT + NOISE),
    "zstd of many empty frames": ("zstd", zstd.compress(b"") * 2_000 + zstd.compress(b"end"), b"end"),
    "zstd, skippable frames around": ("zstd", skippable(b"s" * 70_000) + zstd.compress(TEXT) + skippable(b"", 15), TEXT),
    "zstd, a skippable frame alone": ("zstd", skippable(b"nothing here", 3), b""),
    "zstd with a window of 128 MiB": ("zstd", frame(block(b"abc"), window=WINDOW_128_MIB), b"abc"),
    "zstd with dictionary 0, which is none": ("zstd", frame(block(b"abc"), dictionary=0), b"abc"),
    "zstd of a piece": ("zstd", zstd.compress(bytes(PIECE_BYTES)), bytes(PIECE_BYTES)),
}

# by name: format, bytes, what the message says
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no gzip at all": ("gzip", b"", "not gzip data: there is none"),
    "gzip without its size": ("gzip", gzip_of(TEXT)[:-4], "gzip data is cut short"),
    "gzip without its last byte": ("gzip", gzip_of(TEXT)[:-1], "gzip data is cut short"),
    "gzip cut in its header": ("gzip", HEAD[:-3], "gzip data is cut short"),
    "gzip cut in its second member": ("gzip", gzip_of(b"a") + gzip_of(TEXT)[:-9], "gzip data is cut short"),
    "gzip with a wrong checksum": ("gzip", gzip_of(TEXT, crc=1), "gzip data is damaged: incorrect data check"),
    "gzip with a wrong size": ("gzip", gzip_of(TEXT, size=len(TEXT) + 1), "gzip data is damaged: incorrect length check"),
    "gzip with a wrong header checksum": ("gzip", HEAD + b"\0\0" + gzip_of(b"x")[10:], "gzip data is damaged: header crc"),
    "gzip with a flag of tomorrow": ("gzip", gzip_of(b"x", flags=0x20), "gzip data is damaged: unknown header flags"),
    "gzip of another method": ("gzip", b"\x1f\x8b\x07" + gzip_of(b"x")[3:], "gzip data is damaged: unknown compression method"),
    "gzip with a bad block": ("gzip", gzip_of(b"")[:10] + b"\x07", "gzip data is damaged: invalid block type"),
    "gzip that reaches too far back": ("gzip", gzip_of(b"")[:10] + b"\x03\x02\x00", "gzip data is damaged: invalid distance"),
    "gzip, zeros behind it": ("gzip", gzip_of(TEXT) + bytes(512), "something else follows the gzip data"),
    "gzip, one zero behind it": ("gzip", gzip_of(TEXT) + b"\0", "cut short|something else follows"),
    "gzip, rubbish behind it": ("gzip", gzip_of(TEXT) + b"rubbish", "something else follows the gzip data"),
    "gzip, half a magic behind it": ("gzip", gzip_of(TEXT) + b"\x1f", "gzip data is cut short"),
    "gzip, zstd behind it": ("gzip", gzip_of(TEXT) + zstd.compress(TEXT), "something else follows the gzip data"),
    "zstd said to be gzip": ("gzip", zstd.compress(TEXT), "not gzip data: it looks like zstd"),
    "skippable zstd said to be gzip": ("gzip", skippable(b"x"), "not gzip data: it looks like zstd"),
    "bzip2 said to be gzip": ("gzip", bz2.compress(TEXT), "not gzip data: it looks like bzip2"),
    "xz said to be gzip": ("gzip", lzma.compress(TEXT), "not gzip data: it looks like xz"),
    "zlib said to be gzip": ("gzip", zlib.compress(TEXT), "not gzip data: incorrect header check"),
    "a tar said to be gzip": ("gzip", b"weights/\0\0\0" + bytes(501), "not gzip data: incorrect header check"),
    "zstd cut within a block": ("zstd", zstd.compress(TEXT)[:-1], "zstd data is cut short"),
    "zstd cut within its magic": ("zstd", b"\x28\xb5", "zstd data is cut short"),
    "zstd without its checksum": ("zstd", frame(block(b"abc"), flags=4), "zstd data is cut short"),
    "zstd cut within a skippable frame": ("zstd", skippable(b"abc")[:-1], "zstd data is cut short"),
    "zstd with a wrong checksum": (
        "zstd",
        frame(block(b"abc"), flags=4) + b"1234",
        "damaged: Restored data doesn't match checksum",
    ),
    "zstd with a wrong size": ("zstd", frame(block(b"abc"), size=4), "zstd data is damaged: Data corruption"),
    "zstd with a wrong size, and an empty block behind it": (
        "zstd",
        frame(block(b"abc", last=False), block(b""), size=4),
        "zstd data is damaged: (Data corruption|its content is of another size than it says .got 3, expected 4)",
    ),
    "zstd with a bad block": ("zstd", frame(b"\x07\x00\x00abc"), "zstd data is damaged: Data corruption"),
    "zstd with a block of 128 KiB and a byte": ("zstd", frame(repeated(b"a", 131_073), window=WINDOW_128_MIB), "is damaged"),
    "zstd with a reserved bit": ("zstd", frame(block(b"abc"), flags=8), "zstd data is damaged: Unsupported frame parameter"),
    "zstd with a dictionary": ("zstd", frame(block(b"abc"), dictionary=7), "zstd data is damaged: Dictionary mismatch"),
    "zstd with a window of 144 MiB": ("zstd", frame(block(b"a"), window=WINDOW_128_MIB + 1), "requires too much memory"),
    "zstd with a window of 2 GiB": ("zstd", frame(block(b"a"), window=21 << 3), "requires too much memory"),
    "zstd with a window of 3.75 TiB": ("zstd", frame(block(b"a"), window=255), "requires too much memory"),
    "zstd of one segment of 1 GiB": ("zstd", frame(block(b"a"), window=None, size=GIB), "requires too much memory"),
    "zstd of one segment of 2 to the 63rd": ("zstd", frame(block(b"a"), window=None, size=1 << 63), "requires too much memory"),
    "zstd, zeros behind it": ("zstd", zstd.compress(TEXT) + bytes(4), "something else follows the zstd data"),
    "zstd, rubbish behind it": ("zstd", zstd.compress(TEXT) + b"rubbish", "something else follows the zstd data"),
    "zstd, a byte behind it": ("zstd", zstd.compress(TEXT) + b"\0", "cut short|something else follows"),
    "zstd of a version before 1.0": ("zstd", b"\x27\xb5\x2f\xfd" + zstd.compress(TEXT)[4:], "not zstd data: Unknown frame"),
    "gzip said to be zstd": ("zstd", gzip_of(TEXT), "not zstd data: it looks like gzip"),
}


@pytest.mark.parametrize(("name", "data", "content"), SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("step_bytes", [10**9, 4_999, 7])
def test_sound(name: str, data: bytes, content: bytes, step_bytes: int) -> None:
    assert inflated(name, data, step_bytes=step_bytes) == content


@pytest.mark.parametrize(("name", "data", "what"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("step_bytes", [10**9, 7])
def test_broken(name: str, data: bytes, what: str, step_bytes: int) -> None:
    with pytest.raises(BadArchive, match=what) as caught:
        inflated(name, data, step_bytes=step_bytes)
    assert caught.value.where.startswith("near byte ")
    assert caught.value.where.endswith(" of layer sha256:abc")


def test_what_is_damaged_is_taken_for_nothing_else_when_it_comes_byte_by_byte() -> None:
    with pytest.raises(BadArchive, match="gzip data is damaged: incorrect data check"):
        inflated("gzip", gzip_of(b"x", crc=1), step_bytes=1)


@pytest.mark.parametrize(("name", "data"), [("gzip", gzip_of(b"some text " * 9)), ("zstd", zstd.compress(b"some text " * 9))])
def test_a_cut_anywhere_is_noticed(name: str, data: bytes) -> None:
    for length in range(1, len(data)):
        with pytest.raises(BadArchive):
            inflated(name, data[:length])


def test_an_error_names_the_place_in_the_layer_as_stored() -> None:
    first = gzip_of(TEXT)
    with pytest.raises(BadArchive) as caught:
        inflated("gzip", first + gzip_of(NOISE, crc=0))
    at = int(caught.value.where.split()[2])
    assert len(first) < at <= len(first) + len(gzip_of(NOISE))
    with pytest.raises(BadArchive) as caught:
        inflated("gzip", first + b"rubbish")
    assert caught.value.where == f"near byte {len(first) + 7} of layer sha256:abc"


# by name: format, a bomb, how much comes out of it
BOMBS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "gzip at 1000:1": ("gzip", lambda: gzip_of(bytes(64 * MIB)), 64 * MIB),
    "zstd at 32,000:1": (
        "zstd",
        lambda: frame(*[repeated(b"\0", 131_072, last=n == 511) for n in range(512)], window=WINDOW_128_KIB),
        64 * MIB,
    ),
}


@pytest.mark.parametrize(("name", "make", "size_bytes"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_comes_in_bounded_pieces_and_ends_at_the_limit(name: str, make: Callable[[], bytes], size_bytes: int) -> None:
    bomb = make()
    assert size_bytes / len(bomb) > 900
    decompressor = Decompressor(name, "layer", size_bytes)
    tracemalloc.start()
    try:
        for piece in decompressor.feed(memoryview(bomb)):
            assert len(piece) <= PIECE_BYTES
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    decompressor.finish()
    assert decompressor.content_bytes == size_bytes
    with pytest.raises(BadArchive, match=r"decompresses to more than 50\.0 MiB"):
        inflated(name, bomb, limit_bytes=50 * MIB)


def test_what_has_just_the_size_of_the_limit_passes() -> None:
    assert inflated("gzip", gzip_of(TEXT), limit_bytes=len(TEXT)) == TEXT
    with pytest.raises(BadArchive, match="decompresses to more than") as caught:
        inflated("gzip", gzip_of(TEXT), limit_bytes=len(TEXT) - 1)
    assert caught.value.where == f"near byte {len(gzip_of(TEXT))} of layer sha256:abc"


def test_a_million_members_are_no_bomb_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied for a member is bounded by what it was fed, whatever lies behind it."""
    copied = 0

    class Counting(compression.gzip.GzipMember):  # type: ignore[misc]  # final, for the package
        __slots__ = ()

        def take(self, data: memoryview | bytes, limit_bytes: int) -> bytes:
            nonlocal copied
            piece = super().take(data, limit_bytes)
            copied += len(self.unused_data)
            return piece

    codec = compression.Codec((b"\x1f\x8b",), Counting, may_be_empty=False)
    monkeypatch.setattr(compression, "_CODECS", {"gzip": codec})
    members = gzip_of(b"") * 20_000
    assert inflated("gzip", members) == b""
    assert copied < 512 * 20_000


def test_nobody_believes_more_than_gzip_could_do() -> None:
    assert content_limit(10) == GIB
    assert content_limit(2 * GIB) == 1032 * 2 * GIB
    assert len(gzip_of(bytes(64 * MIB))) * 1032 > 64 * MIB


def test_the_size_of_the_content_is_told_before_it_is_there() -> None:
    assert gzip_hint(gzip_of(TEXT)[-4:]) == len(TEXT)
    assert zstd_hint(zstd.compress(TEXT)[:18]) == len(TEXT)
    assert zstd_hint(frame(block(b""), size=1 << 40)) == 1 << 40
    assert [zstd_hint(head) for head in (b"", b"\x28\xb5\x2f\xfd", frame(block(b"abc")), skippable(b"abc"), gzip_of(TEXT))] == [
        0
    ] * 5
