"""Compressed layers as they stream by: compressed bytes in, bounded pieces of content out; a state machine, no I/O.

Theory. Both formats are members one after the other (RFC 1952 §2.2; what RFC 8878 calls a frame of zstd is a member here), and the
content of a layer is the contents of its members in a row. `archive.gzip` and `archive.zstd` know one member. This module puts
them together as the readers in kit do (Go's compress/gzip, klauspost/compress): after a member comes the next one, or the end. So
zeros or anything else behind the last member is refused, whatever gzip(1) makes of it, and so is a layer that ends within one. No
bytes at all are no gzip, but zstd of no content: that is what kit writes for an empty file.

The bytes are hostile. No piece is longer than `PIECE_BYTES`, however little it comes from, and a codec holds one window at most
(zstd: 128 MiB, gzip: 32 KiB). All pieces together end at a limit of the caller's (`content_limit` for who knows nothing better).
Time is linear in what goes in and comes out: what follows a member's end is copied, so a member gets small slices first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, final

from mkfs.archive import gzip, zstd
from mkfs.errors import BadArchive
from mkfs.units import GIB, KIB, MIB, format_size

PIECE_BYTES: Final = MIB
_FIRST_SLICE_BYTES: Final = 512  # of a member: in a layer of millions of empty ones so much is copied for each
_SLICE_BYTES: Final = 64 * KIB  # once it goes on; zlib copies what it has not taken yet with every piece it gives
# DEFLATE cannot do better than 1032:1 (zlib's technical notes), and weights come to 1.1 to 2:1, but zstd can do 32,768:1. What
# claims more than gzip could do is a bomb, unless it is small in any case.
RATIO_LIMIT: Final = 1032
SMALL_CONTENT_BYTES: Final = GIB
_OTHERS: Final = MappingProxyType({"bzip2": (b"BZh",), "xz": (b"\xfd7zXZ\0",)})
_MAGIC_BYTES: Final = 6  # the longest


class Member(Protocol):
    """One member on its way through a codec."""

    @property
    def eof(self) -> bool:
        """Whether its end came, and its checksum was right."""

    @property
    def unused_data(self) -> bytes:
        """What was fed behind its end."""

    @property
    def holds(self) -> bool:
        """Whether `take` may give more without being fed."""

    def take(self, data: memoryview | bytes, limit_bytes: int) -> bytes:
        """Feeds `data` (b"" while it `holds` something), and gives up to `limit_bytes` of content. Raises `BadArchive`."""


@final
@dataclass(frozen=True, slots=True)
class Codec:
    """One format: what its members may begin with, and how to begin one."""

    magics: tuple[bytes, ...]
    begin: Callable[[], Member]
    may_be_empty: bool  # whether no member at all is a layer without content


_CODECS: Final = MappingProxyType(
    {
        "gzip": Codec((gzip.MAGIC,), gzip.GzipMember, may_be_empty=False),
        "zstd": Codec((zstd.MAGIC, *zstd.SKIPPABLE_MAGICS), zstd.ZstdFrame, may_be_empty=True),
    }
)


@final
class Decompressor:
    """Decompresses one layer, which `layer` names in errors. Feed it all bytes in order, then `finish` it.

    `BadArchive` says what is wrong, and near which byte of the layer as stored; the object is spent then. `content_bytes`: how much
    it gave.
    """

    __slots__ = (
        "_at",
        "_codec",
        "_layer",
        "_limit_bytes",
        "_member",
        "_members",
        "_name",
        "_slice_bytes",
        "_start",
        "content_bytes",
    )

    def __init__(self, compression: str, layer: str, limit_bytes: int) -> None:
        """`compression` is `gzip` or `zstd`. Content beyond `limit_bytes` is refused."""
        self._name, self._codec = compression, _CODECS[compression]
        self._layer, self._limit_bytes = layer, limit_bytes
        self._member: Member | None = None
        self._start = b""  # the first bytes of the member
        self._slice_bytes = _FIRST_SLICE_BYTES
        self._members = self._at = self.content_bytes = 0  # members begun; bytes of the layer taken

    def feed(self, data: memoryview) -> Iterator[bytes]:
        """Takes the next bytes of the layer; gives what they come to, in pieces of `PIECE_BYTES` at most.

        Nothing happens but as the iterator goes on: exhaust it before the next call, and leave `data` alone until then.
        """
        at = 0
        while at < len(data):
            if self._member is None:
                self._member, self._members = self._codec.begin(), self._members + 1
                self._start, self._slice_bytes = b"", _FIRST_SLICE_BYTES
            part = data[at : at + self._slice_bytes]
            self._slice_bytes = min(2 * self._slice_bytes, _SLICE_BYTES)
            if len(self._start) < _MAGIC_BYTES:
                self._start += bytes(part[: _MAGIC_BYTES - len(self._start)])
            self._at += len(part)
            yield from self._pieces(self._member, part)
            unused = len(self._member.unused_data) if self._member.eof else 0
            at, self._at = at + len(part) - unused, self._at - unused
            if self._member.eof:
                self._member = None

    def _pieces(self, member: Member, part: memoryview | bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = member.take(part, PIECE_BYTES)
            except BadArchive as error:
                raise BadArchive(self._words(error.what), self._where) from error
            self.content_bytes += len(piece)
            if self.content_bytes > self._limit_bytes:
                raise BadArchive(f"decompresses to more than {format_size(self._limit_bytes)}", self._where)
            if piece:
                yield piece
            if member.eof or not member.holds:
                return
            part = b""

    def finish(self) -> None:
        """Returns if the layer may end here. Raises `BadArchive`."""
        if self._member is not None:
            raise BadArchive(f"{self._name} data is cut short", self._where)
        if not self._members and not self._codec.may_be_empty:
            raise BadArchive(f"not {self._name} data: there is none", self._where)

    def _words(self, reason: str) -> str:
        """What is wrong, by what there was before and what is there instead."""
        if self._start.startswith(self._codec.magics):
            return f"{self._name} data is damaged: {reason}"
        if self._members > 1:
            return f"something else follows the {self._name} data"
        looks_like = _looks_like(self._start)
        return f"not {self._name} data: it looks like {looks_like}" if looks_like else f"not {self._name} data: {reason}"

    @property
    def _where(self) -> str:
        return f"near byte {self._at} of {self._layer}"


def content_limit(stored_bytes: int) -> int:
    """What a layer of `stored_bytes` may decompress to where nobody has said how large its content is."""
    return max(SMALL_CONTENT_BYTES, RATIO_LIMIT * stored_bytes)


def _looks_like(start: bytes) -> str:
    known = {name: codec.magics for name, codec in _CODECS.items()} | dict(_OTHERS)
    return next((name for name, magics in known.items() if start.startswith(magics)), "")
