"""Tar archives as Go's `archive/tar` writes them for kit: USTAR where everything fits, a PAX header before the entry where not.

kit clears what differs between machines (`sanitizeTarHeader` in `pkg/lib/filesystem/tar.go`): uid 1000, gid 0, no names, time 0.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final, final

from mkfs.archive.entry import EntryKind
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, as_body

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)  # what an archive ends with

_UID: Final = 1000
_NAME_BYTES: Final = 100  # of the path in a USTAR header
_PREFIX_BYTES: Final = 155
_SIZE_LIMIT: Final = 8**11  # eleven octal digits
_FLAGS: Final = {EntryKind.FILE: b"0", EntryKind.DIRECTORY: b"5"}
_PAX_FLAG: Final = b"x"


@final
class JoinedBody:
    """Bodies one after the other, as one."""

    __slots__ = ("_parts", "_stops", "size_bytes")

    def __init__(self, parts: Iterable[BlobBody | bytes]) -> None:
        self._parts = [as_body(part) for part in parts]
        self._stops = list(accumulate(part.size_bytes for part in self._parts))
        self.size_bytes = self._stops[-1] if self._stops else 0

    def read(self, wanted: ByteRange, /) -> bytes:
        """The bytes of `wanted`."""
        pieces = []
        start = wanted.start
        number = bisect_right(self._stops, start)
        while start < wanted.stop:
            part = self._parts[number]
            base = self._stops[number] - part.size_bytes
            stop = min(wanted.stop, self._stops[number])
            pieces.append(part.read(ByteRange(start - base, stop - base)))
            start, number = stop, number + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def padding(size_bytes: int) -> bytes:
    """What follows `size_bytes` of content up to the next block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def header(path: bytes, kind: EntryKind, mode: int, size_bytes: int = 0) -> bytes:
    """The blocks before the content of a file or directory: one, or at least three with a PAX header. `mode` is permission bits."""
    split = _split(path)
    if split is not None and size_bytes < _SIZE_LIMIT:
        prefix, name = split
        return _block(name, mode, _UID, size_bytes, _FLAGS[kind], prefix=prefix)
    records = []
    if len(path) > _NAME_BYTES or not path.isascii():
        records.append(_record(b"path", path))
    if size_bytes >= _SIZE_LIMIT:
        records.append(_record(b"size", b"%d" % size_bytes))
        size_bytes = 0  # the record says it
    data = b"".join(records)
    directory, slash, base = path.rpartition(b"/")
    pax = _block(_short(directory + slash + b"PaxHeaders.0/" + base).rstrip(b"/"), 0, 0, len(data), _PAX_FLAG, devices=False)
    return pax + data + padding(len(data)) + _block(_short(path), mode, _UID, size_bytes, _FLAGS[kind])


def _split(path: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name of a USTAR header, cut at the last slash the prefix can reach; None where the path does not fit."""
    if not path.isascii():
        return None
    if len(path) <= _NAME_BYTES:
        return b"", path
    prefix, slash, _ = path[: _PREFIX_BYTES + 1].rpartition(b"/")
    name = path[len(prefix) + 1 :]
    return (prefix, name) if slash and prefix and 0 < len(name) <= _NAME_BYTES else None


def _short(path: bytes) -> bytes:
    """What stands in a header whose real path is in a PAX record: ASCII, cut, and not so that a file looks like a directory."""
    kept = bytes(byte for byte in path if byte < 0x80)
    return kept if len(kept) <= _NAME_BYTES else kept[:_NAME_BYTES].rstrip(b"/")


def _record(key: bytes, value: bytes) -> bytes:
    """A PAX record, whose length counts its own digits."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(b"%d" % len(rest))
    length = len(rest) + len(b"%d" % length)  # the digits themselves may have made it longer
    return b"%d" % length + rest


def _block(name: bytes, mode: int, uid: int, size_bytes: int, flag: bytes, *, prefix: bytes = b"", devices: bool = True) -> bytes:
    device = _octal(0, 8) if devices else bytes(8)
    before = b"".join(
        (name.ljust(_NAME_BYTES, b"\0"), _octal(mode, 8), _octal(uid, 8), _octal(0, 8), _octal(size_bytes, 12), _octal(0, 12))
    )
    after = b"".join((flag, bytes(100), b"ustar\x0000", bytes(64), device, device, prefix.ljust(_PREFIX_BYTES, b"\0"), bytes(12)))
    checksum = sum(before) + 8 * ord(" ") + sum(after)  # counted with spaces in its own place
    return before + b"%06o\0 " % checksum + after


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)
