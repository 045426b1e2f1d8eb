"""zstd by frame (RFC 8878), decompressed by libzstd, which checks what there is to check: checksum and size where a frame has them.

libzstd passes over skippable frames. A frame that needs a dictionary is refused, as nothing says where to get it; so is one whose
window is larger than `WINDOW_LOG`, as the window is memory. Writers choose 8 MiB or less unless they are told to (kit never is);
klauspost/compress would read windows up to 512 MiB.
"""

from typing import Final, final

from mkfs.errors import BadArchive

try:
    from backports import zstd
except ImportError:  # Python 3.14 and newer have it themselves
    from compression import zstd  # type: ignore[import-not-found,no-redef]  # the oldest Python we check for does not

WINDOW_LOG: Final = 27  # 128 MiB: the most that zstd(1) takes without being asked to, and RFC 8878 has nobody send more than 8 MiB
MAGIC: Final = b"\x28\xb5\x2f\xfd"
SKIPPABLE_MAGICS: Final = tuple((0x184D2A50 + each).to_bytes(4, "little") for each in range(16))
HEADER_BYTES: Final = 18  # of a frame, at most


@final
class ZstdFrame:
    """See `compression.Member`."""

    __slots__ = ("_given_bytes", "_head", "_zstd")

    def __init__(self) -> None:
        self._head, self._given_bytes = b"", 0
        self._zstd = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})

    @property
    def eof(self) -> bool:
        """See `compression.Member`."""
        return self._zstd.eof

    @property
    def unused_data(self) -> bytes:
        """See `compression.Member`."""
        return self._zstd.unused_data

    @property
    def holds(self) -> bool:
        """See `compression.Member`."""
        return not self._zstd.needs_input

    def take(self, data: memoryview | bytes, limit_bytes: int) -> bytes:
        """See `compression.Member`."""
        if len(self._head) < HEADER_BYTES:
            self._head += bytes(data[: HEADER_BYTES - len(self._head)])
        try:
            piece = self._zstd.decompress(data, limit_bytes)
        except zstd.ZstdError as error:
            raise BadArchive(str(error).rpartition(": ")[2]) from error
        self._given_bytes += len(piece)
        if self._zstd.eof:
            self._check_size()
        return piece

    def _check_size(self) -> None:
        """What libzstd checks for a frame that it gets at once, or whose last block is not empty, and for no other."""
        if not self._head.startswith(MAGIC):  # a skippable frame
            return
        declared_bytes = zstd.get_frame_info(self._head).decompressed_size
        if declared_bytes not in (None, self._given_bytes):
            raise BadArchive(f"its content is of another size than it says (got {self._given_bytes}, expected {declared_bytes})")


def content_size_hint(head: bytes) -> int:
    """At least how large the content is, as the first `HEADER_BYTES` of a layer say: nothing proves it. 0: they say nothing."""
    if not head.startswith(MAGIC):
        return 0
    try:
        return zstd.get_frame_info(head).decompressed_size or 0
    except zstd.ZstdError:
        return 0
