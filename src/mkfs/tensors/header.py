"""What the start of a file says about its tensors, whatever the file is."""

from dataclasses import dataclass
from typing import Final, final

from mkfs.tensors import gguf, safetensors
from mkfs.tensors.placement import Placement
from mkfs.tensors.start import HEADER_LIMIT_BYTES, Senseless, Short
from mkfs.units import MIB

_SNIFFED_BYTES: Final = safetensors.LENGTH_BYTES + 1  # tell the formats apart, and most other files from both
# Where a header does not say how long it is, its parser starts anew with each step: doubling keeps that linear, and what is smaller
# than this comes in one request and one chunk anyway.
_STEP_BYTES: Final = MIB


@final
@dataclass(frozen=True, slots=True)
class Need:
    """At least the first `bytes` bytes of the file are needed: more than were given, no more than the file has."""

    bytes: int


def read_header(start: memoryview | bytes, size_bytes: int) -> Placement | Need | None:
    """What the first bytes of a file of `size_bytes` say; keeps no reference to them.

    None: neither safetensors nor GGUF, or one that makes no sense, or with a header above `HEADER_LIMIT_BYTES`. A longer `start` of
    the same file changes neither None nor a `Placement`, which is false where it has no tensors. Never raises. The largest headers
    take some 0.3 s (2-core VM): a thread's work.
    """
    limit_bytes = min(size_bytes, HEADER_LIMIT_BYTES)
    known = memoryview(start)[:limit_bytes]
    try:
        if len(known) < _SNIFFED_BYTES:
            raise Short(_SNIFFED_BYTES)
        parse = gguf.parse if bytes(known[: len(gguf.MAGIC)]) == gguf.MAGIC else safetensors.parse
        return parse(known, size_bytes)
    except Senseless:
        return None
    except Short as short:
        if short.stop > limit_bytes:
            return None
        return Need(short.stop if short.whole else min(limit_bytes, max(short.stop, 2 * len(known), _STEP_BYTES)))
