"""Tars byte by byte, so that they can be wrong in one place; and the ways to scan them."""

import struct
from collections.abc import Callable
from typing import Final

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.tar import TarScanner
from mkfs.archive.windows import next_window
from mkfs.ranges import ByteRange

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
POSIX, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)


def pad(data: bytes) -> bytes:
    """`data` with zeros up to a whole block."""
    return data + bytes(-len(data) % BLOCK)


def octal(value: int | bytes, width: int) -> bytes:
    """A number as a header has it; bytes are taken as they are."""
    return value if isinstance(value, bytes) else f"{value:0{width - 1}o}\0".encode()


def base256(value: int, width: int = 12) -> bytes:
    """A number as GNU has it where octal is too short."""
    return (value % (1 << 8 * width - 1) | 1 << 8 * width - 1 if value >= 0 else value % (1 << 8 * width)).to_bytes(width, "big")


def header(
    name: bytes = b"a",
    *,
    size: int | bytes = 0,
    flag: bytes = b"0",
    mode: int | bytes = 0o644,
    mtime: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = POSIX,
    prefix: bytes = b"",
    checksum: int | bytes | None = None,
) -> bytes:
    """One header block; its checksum is right unless given."""
    block = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x",
        name,
        octal(mode, 8),
        octal(1000, 8),
        octal(0, 8),
        octal(size, 12),
        octal(mtime, 12),
        b" " * 8,
        flag,
        link,
        magic,
        b"",
        b"",
        b"",
        b"",
        prefix,
    )
    return seal(block) if checksum is None else block[:148] + octal(checksum, 8) + block[156:]


def seal(block: bytes) -> bytes:
    """The block with the checksum it ought to have."""
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return block[:148] + f"{total:06o}\0 ".encode() + block[156:]


def member(name: bytes = b"a", content: bytes = b"", **fields: int | bytes) -> bytes:
    """A header and its content, padded."""
    return header(name, **{"size": len(content), **fields}) + pad(content)  # type: ignore[arg-type]  # the fields of `header`


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record, its length counted in."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def extended(flag: bytes, content: bytes) -> bytes:
    """An extended header of type `flag` with its content."""
    return member(b"././@LongLink" if flag in (b"L", b"K") else b"PaxHeaders/a", content, flag=flag)


def pax(records: dict[bytes, bytes], flag: bytes = b"x") -> bytes:
    """A PAX extended header."""
    return extended(flag, b"".join(record(key, value) for key, value in records.items()))


def entry(path: bytes = b"a", content_offset: int = BLOCK, size_bytes: int = 0, **fields: int | bytes | EntryKind) -> Entry:
    """What a scan should make of `header`'s defaults."""
    given = {"kind": EntryKind.FILE, "mode": 0o644, **fields}
    return Entry(path=path, content_offset=content_offset, size_bytes=size_bytes, **given)  # type: ignore[arg-type]  # Entry's fields


def scan(data: bytes) -> Table:
    """The table, from one window that holds everything."""
    scanner = TarScanner(len(data))
    scanner.feed(0, data)
    assert scanner.wants is None
    return scanner.table()


def scan_hopping(data: bytes, step_bytes: int) -> Table:
    """The table, from windows of `step_bytes` that start at what is wanted."""
    scanner = TarScanner(len(data))
    while (wants := scanner.wants) is not None:
        scanner.feed(wants.start, data[wants.start : wants.start + step_bytes])
        assert scanner.wants is None or scanner.wants.start > wants.start
    return scanner.table()


def scan_streaming(data: bytes, step_bytes: int) -> Table:
    """The table, from the whole layer in pieces of `step_bytes`, one after the other."""
    scanner = TarScanner(len(data))
    for start in range(0, len(data), step_bytes):
        scanner.feed(start, memoryview(data)[start : start + step_bytes])
    return scanner.table()


def scan_to_the_end(data: bytes, step_bytes: int) -> Table:
    """The table, from pieces of a layer whose size nobody knows before its end."""
    scanner = TarScanner(None)
    for start in range(0, len(data), step_bytes):
        scanner.feed(start, memoryview(data)[start : start + step_bytes])
    scanner.finish(len(data))
    assert scanner.wants is None
    return scanner.table()


def scan_windows(read: Callable[[ByteRange], bytes], size_bytes: int) -> tuple[Table, list[ByteRange]]:
    """The table as a mount gets it, and the windows it read for it."""
    scanner = TarScanner(size_bytes)
    windows: list[ByteRange] = []
    while (wants := scanner.wants) is not None:
        windows.append(next_window(wants, size_bytes, windows[-1] if windows else None))
        scanner.feed(windows[-1].start, read(windows[-1]))
    return scanner.table(), windows
