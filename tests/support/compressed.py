"""Compressed layers to read in tests of `content`."""

import gzip
from dataclasses import dataclass

from backports import zstd

from mkfs.formats.plan import Compression
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.support.layers import Blob, seeded, tar_of


@dataclass(frozen=True)
class Packed:
    """What a layer holds, and the blob it is stored as."""

    content: bytes
    blob: Blob
    compression: Compression

    @property
    def whole(self) -> ByteRange:
        """All of the content."""
        return ByteRange(0, len(self.content))


def packed(content: bytes, compression: Compression = "gzip", *, behind: bytes = b"", cut_bytes: int = 0) -> Packed:
    """`content` compressed; with something behind it, or without its last bytes, it is as broken as one likes."""
    stored = gzip.compress(content, 1) if compression == "gzip" else zstd.compress(content)
    return Packed(content, Blob(stored[: len(stored) - cut_bytes] + behind), compression)


FILES = {"small": b"s" * 100, "large": seeded(2, 5 * MIB + 5), "middle": seeded(3, 3000), "last": b"some text " * 300 * KIB}
TAR = tar_of(FILES)
GZIPPED = packed(TAR)
ZSTANDARD = packed(TAR, "zstd")
TWO_LAPS = packed(seeded(1, 40 * MIB + 777))  # hardly smaller: two requests of a whole fetch
