"""One header block of a tar: V7, POSIX ustar and GNU share its layout (POSIX.1-2017, pax, "ustar Interchange Format").

The ustar prefix belongs to the name only under the POSIX magic. GNU keeps times in its place (Python alone takes them for a name
then), V7 nothing, star a shorter prefix and two times behind it. Owner, group and device numbers are not read: nothing here
shows them.
"""

import struct
from typing import Final, final

from msgspec import Struct

from mkfs.archive.numbers import check_seconds, header_number, octal_number
from mkfs.errors import BadArchive

BLOCK_BYTES: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
# name, mode, (uid, gid), size, mtime, checksum, type flag, link name, magic, (version, names, device), prefix, (padding), trailer
_LAYOUT: Final = struct.Struct("100s8s16x12s12s8s1s100s6s82x155s8x4s")
_CHECKSUM: Final = slice(148, 156)
_POSIX_MAGIC, _GNU_MAGIC = b"ustar\0", b"ustar "
_STAR_TRAILER, _STAR_PREFIX_BYTES = b"tar\0", 131


@final
class Header(Struct, frozen=True):
    """The fields as stored, in this block alone: extended headers may overrule name, link, size and time."""

    path: bytes
    mode: int  # & 0o7777
    size_bytes: int
    mtime_seconds: int
    flag: bytes  # one byte
    link: bytes


def padded(size_bytes: int) -> int:
    """`size_bytes` rounded up to whole blocks: what content of that size takes in an archive."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def until_nul(field: bytes) -> bytes:
    """A name in a fixed field: it ends at the first NUL, or fills the field."""
    return field.partition(b"\0")[0]


def decode_header(block: bytes) -> Header:
    """Reads one block of `BLOCK_BYTES`.

    Raises `BadArchive`: wrong checksum, no number where one belongs, a negative size, a prefix without a meaning, or with two.
    """
    name, mode, size, mtime, checksum, flag, link, magic, prefix, trailer = _LAYOUT.unpack(block)
    # POSIX: the sum of all bytes, the checksum's own taken as spaces. The signed sums of some tools from before 1990 are not taken.
    expected = sum(block) - sum(block[_CHECKSUM]) + len(block[_CHECKSUM]) * ord(" ")
    if octal_number(checksum, "checksum") != expected:
        raise BadArchive(f"not a tar header: its checksum is wrong (got {checksum!r}, expected {expected:06o})")
    path = until_nul(name)
    if prefix[0] and magic == _POSIX_MAGIC:
        if trailer == _STAR_TRAILER and len(until_nul(prefix)) > _STAR_PREFIX_BYTES:  # Go alone ends it there
            raise BadArchive("name has a prefix that star and POSIX end in different places")
        path = until_nul(prefix) + b"/" + path
    elif prefix[0] and magic != _GNU_MAGIC:
        raise BadArchive(f"name has a prefix, but the header is not of POSIX (got {magic!r}, expected {_POSIX_MAGIC!r})")
    size_bytes = header_number(size, "size")
    if size_bytes < 0:
        raise BadArchive(f"size is negative (got {size_bytes})")
    return Header(
        path=path,
        mode=header_number(mode, "mode") & 0o7777,
        size_bytes=size_bytes,
        mtime_seconds=check_seconds(header_number(mtime, "modification time")),
        flag=flag,
        link=until_nul(link),
    )
