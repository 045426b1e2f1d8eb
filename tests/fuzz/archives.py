"""Targets: what is inside of layers. Second readers: tarfile, gzip, zstd and safetensors themselves."""

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import Final

from backports import zstd
from safetensors import SafetensorError, deserialize

from mkfs.archive import gzip as gzip_layers
from mkfs.archive import zstd as zstd_layers
from mkfs.archive.compression import PIECE_BYTES, Decompressor
from mkfs.archive.entry import EntryKind, Table
from mkfs.archive.header import BLOCK_BYTES, padded
from mkfs.errors import BadArchive
from mkfs.tensors.header import Need, read_header
from mkfs.tensors.placement import Placement
from mkfs.units import KIB
from tests.archive.tarballs import GNU, scan, scan_hopping, scan_streaming, scan_to_the_end, seal
from tests.fuzz.oracles import answer

CONTENT_LIMIT_BYTES: Final = 256 * KIB  # of a compressed layer here
HUGE: Final = 1 << 40  # bytes: a file of which only the start is known
_KINDS: Final = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.LNKTYPE: EntryKind.HARDLINK,
    tarfile.FIFOTYPE: EntryKind.FIFO,
    tarfile.CHRTYPE: EntryKind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: EntryKind.BLOCK_DEVICE,
}
_BASE_256: Final = b"\x80"  # the first byte of a number that GNU wrote so
_SIZE, _FLAG, _MAGIC, _PREFIX = slice(124, 136), slice(156, 157), slice(257, 265), slice(345, 500)  # of a header


def check_tar(data: bytes) -> None:
    """One table however the bytes arrive, within the layer; the table of tarfile where that reads it too."""
    table = answer(BadArchive, scan, data)
    step_bytes = 1 + len(data) * 7 % 1500
    for way in (scan_hopping, scan_streaming, scan_to_the_end):
        assert answer(BadArchive, way, data, step_bytes) == table
    if table is None:
        return
    for entry in table:
        assert entry.path
        assert entry.content_offset % BLOCK_BYTES == 0
        assert 0 <= entry.size_bytes <= len(data) - entry.content_offset
        assert -(2**63) <= entry.mtime_seconds < 2**63
    by_others = _by_tarfile(data)
    if by_others is not None:
        ours = [(e.path.rstrip(b"/"), e.kind, e.mode, e.size_bytes, e.content_offset, e.link) for e in table]
        count = len(by_others)
        assert ours[:count] == by_others
        assert len(ours) == count or _ends_tarfile(data, table, count)


def _by_tarfile(data: bytes) -> list[tuple[bytes, EntryKind, int, int, int, bytes]] | None:
    """What tarfile makes of it; None where it refuses, or is known to read otherwise."""
    if any(_is_read_otherwise(data, at) for at in range(0, len(data) - BLOCK_BYTES + 1, BLOCK_BYTES)):
        return None
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for info in archive:
                name, link = (text.encode("utf-8", "surrogateescape") for text in (info.name, info.linkname))
                kind = _KINDS[info.type]
                is_link = kind in {EntryKind.SYMLINK, EntryKind.HARDLINK}
                size_bytes = info.size if kind is EntryKind.FILE else 0
                found.append((name.rstrip(b"/"), kind, info.mode & 0o7777, size_bytes, info.offset_data, link if is_link else b""))
    except Exception:  # noqa: BLE001 - whatever it has against it
        return None
    return found


def _ends_tarfile(data: bytes, table: Table, number: int) -> bool:
    """Whether there is a header before entry `number`, or its own, that tarfile can't read: it ends there without a word. Owners
    and devices are numbers to it, to us they are nothing.
    """
    at = table[number - 1].content_offset + padded(table[number - 1].size_bytes) if number else 0
    for header in range(at, table[number].content_offset, BLOCK_BYTES):
        try:
            tarfile.TarInfo.frombuf(data[header : header + BLOCK_BYTES], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return True
    return False


def _is_read_otherwise(data: bytes, at: int) -> bool:
    """Whether the block there, if it is a header, means something else to tarfile: GNU's times are a prefix to it, and a long
    name of GNU goes on behind its size.
    """
    block = data[at : at + BLOCK_BYTES]
    if block[_MAGIC] == GNU and any(block[_PREFIX]):
        return True
    stop = at + BLOCK_BYTES + _size_in(block)
    return block[_FLAG] in (b"L", b"K") and any(data[stop : at + BLOCK_BYTES + padded(_size_in(block))])


def _size_in(block: bytes) -> int:
    """The size that a header says, in octal digits or in base-256; 0 for anything else."""
    field = block[_SIZE]
    if field[:1] == _BASE_256:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else 0


def seal_tar(data: bytes) -> bytes:
    """The archive with the right checksum in each header, as far as sizes lead from one to the next."""
    sealed, at = bytearray(data), 0
    while at + BLOCK_BYTES <= len(sealed):
        block = bytes(sealed[at : at + BLOCK_BYTES])
        if any(block):
            sealed[at : at + BLOCK_BYTES] = seal(block)
        at += BLOCK_BYTES + padded(_size_in(block))
    return bytes(sealed)


def _check_compressed(compression: str, data: bytes, by_others: Callable[[bytes], bytes]) -> None:
    """One content however the bytes arrive, in pieces of bounded size; the content that the library itself gives."""
    content = answer(BadArchive, _decompressed, compression, data, max(1, len(data)))
    assert answer(BadArchive, _decompressed, compression, data, 1 + len(data) % 7) == content
    if content is not None:
        assert content == by_others(data)


def _decompressed(compression: str, data: bytes, step_bytes: int) -> bytes:
    decompressor = Decompressor(compression, "the layer", CONTENT_LIMIT_BYTES)
    content = bytearray()
    for at in range(0, len(data), step_bytes):
        for piece in decompressor.feed(memoryview(data)[at : at + step_bytes]):
            assert 0 < len(piece) <= PIECE_BYTES
            content += piece
            assert len(content) <= CONTENT_LIMIT_BYTES
    decompressor.finish()
    return bytes(content)


def check_gzip(data: bytes) -> None:
    """See `_check_compressed`."""
    assert gzip_layers.content_size_hint(data) >= 0
    _check_compressed("gzip", data, gzip.decompress)


def check_zstd(data: bytes) -> None:
    """See `_check_compressed`."""
    assert zstd_layers.content_size_hint(data[: zstd_layers.HEADER_BYTES]) >= 0
    _check_compressed("zstd", data, lambda stored: zstd.decompress(stored) if stored else b"")


def check_tensors(data: bytes) -> None:
    """An answer that more of the file does not change, and tensors within the file; those of safetensors where that reads it."""
    for size_bytes in (len(data), HUGE):
        settled: list[Placement | None] = []
        for known in sorted({0, 9, len(data) // 2, len(data)}):
            if known > len(data):
                continue
            found = read_header(data[:known], size_bytes)
            if isinstance(found, Need):
                assert not settled
                assert known < found.bytes <= size_bytes
                continue
            assert all(found == before for before in settled)
            settled.append(found)
            if found is not None:
                _check_placement(found, size_bytes)
    by_others = _by_safetensors(data)
    if by_others is not None:
        ours = read_header(data, len(data))
        assert isinstance(ours, Placement)
        assert len(ours) == len(by_others)
        assert sorted(stop - start for start, stop in zip(ours._starts, ours._stops, strict=True)) == sorted(by_others)


def _check_placement(found: Placement, size_bytes: int) -> None:
    assert 0 <= found.header.stop <= size_bytes
    for start, stop in list(zip(found._starts, found._stops, strict=True))[:100]:
        assert found.header.stop <= start <= stop <= size_bytes
        at = found.tensor_at(start)
        assert (at is not None and at.start == start) or start == stop
    assert found.tensor_at(0) is None


def _by_safetensors(data: bytes) -> list[int] | None:
    """The lengths of the tensors that safetensors itself finds; None where it finds no such file, or one that only it takes: the
    format has the header begin with a brace.
    """
    if data[8:9] != b"{":
        return None
    try:
        return [len(tensor["data"]) for _, tensor in deserialize(data)]  # type: ignore[no-untyped-call]  # made of Rust
    except SafetensorError:
        return None


def fit_safetensors(data: bytes) -> bytes:
    """The file with a length that is that of its header: up to the last brace."""
    stop = data.rfind(b"}") + 1
    return (stop - 8).to_bytes(8, "little") + data[8:] if stop > 8 else data
