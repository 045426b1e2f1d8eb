"""How much of a layer to read at once while a scanner hops from header to header. Pure decisions; `content/` does the reading.

A round trip to a registry takes 5 to 13 ms whatever it carries (measured), in which a 1 Gbit/s link carries some 0.6 to 1.6 MB. So
a small gap is not worth a careful hop: where headers lie close together the windows grow and the scan goes straight on; where
content is large it hops over it and starts small again. Bytes in a gap between two windows are never read.
"""

from typing import Final

from mkfs.archive.header import BLOCK_BYTES
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB

# Holds the extended headers, parents and first entry of a usual layer, or some thirty empty entries; 0.1 ms at 1 Gbit/s.
HEAD_WINDOW_BYTES: Final = 16 * KIB
# The largest window, so that ten layers scanned at once stay a few MiB of memory. A single extended header may ask for as much.
LARGEST_WINDOW_BYTES: Final = MIB
# A gap to the next header up to here counts as close: 1 ms at 1 Gbit/s, where a hop costs at least five times that. Not more,
# because what is read here is read once more when the layer is proven.
NEAR_BYTES: Final = 128 * KIB
# An archive's end is 1 KiB of zeros, padded by GNU tar to 10 KiB; leftovers of this size come along rather than cost a round trip.
TAIL_BYTES: Final = 16 * KIB
# What GNU tar and Python pad archives to a multiple of. Go, and so kit, oras and all that builds images, pads nothing.
_RECORD_BYTES: Final = 20 * BLOCK_BYTES


def is_padded(size_bytes: int) -> bool:
    """Whether an archive of this length may have more than its end mark behind the last entry, so that head and tail are best read
    at once. Of one that was not padded the head of a single entry tells all.
    """
    return size_bytes % _RECORD_BYTES == 0


def next_window(wants: ByteRange, size_bytes: int, previous: ByteRange | None = None) -> ByteRange:
    """The bytes to read for a scanner that `wants` these, of a layer of `size_bytes`; `previous` is the window before, if any.

    Starts at `wants.start`, covers `wants`, ends at or before the layer's end.
    """
    length = HEAD_WINDOW_BYTES
    if previous is not None and wants.start - previous.stop <= NEAR_BYTES:
        length = min(2 * previous.length, LARGEST_WINDOW_BYTES)
    stop = max(wants.start + length, wants.stop)
    return ByteRange(wants.start, size_bytes if size_bytes - stop <= TAIL_BYTES else stop)
