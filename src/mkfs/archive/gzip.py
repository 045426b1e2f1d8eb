"""gzip by member (RFC 1952), decompressed by zlib: header, CRC-32 and size are checked there.

Two differences to Go's reader: a header flag that nobody knows is refused (RFC 1952 §2.3.1.2; Go ignores it), and a file name may
have more than 511 bytes (Go refuses it).
"""

import zlib
from typing import Final, final

from mkfs.errors import BadArchive

MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way to ask for a gzip header and trailer, and nothing else
SIZE_BYTES: Final = 4  # ISIZE, the last field of a member: the size of its content modulo 2**32


@final
class GzipMember:
    """See `compression.Member`."""

    __slots__ = ("_zlib",)

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP)

    @property
    def eof(self) -> bool:
        """See `compression.Member`."""
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        """See `compression.Member`."""
        return self._zlib.unused_data

    @property
    def holds(self) -> bool:
        """See `compression.Member`."""
        return bool(self._zlib.unconsumed_tail)

    def take(self, data: memoryview | bytes, limit_bytes: int) -> bytes:
        """See `compression.Member`."""
        try:
            return self._zlib.decompress(data or self._zlib.unconsumed_tail, limit_bytes)
        except zlib.error as error:
            raise BadArchive(str(error).rpartition(": ")[2]) from error


def content_size_hint(tail: bytes) -> int:
    """At least how large the content is, as the last bytes of a layer say: nothing proves it. 0: they say nothing."""
    return int.from_bytes(tail[-SIZE_BYTES:], "little")
