"""An entry: one member of an archive, as its header tells it. Nothing here is safe to use as a path yet (see `tree.paths`)."""

from dataclasses import dataclass
from enum import Enum
from typing import final


@final
class EntryKind(Enum):
    """What a header says its entry is. Which of these an artifact may hold is the producer's rule, kept in `formats/`."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One member: raw `path` bytes as stored (ustar prefix and PAX or GNU long names already applied), permission bits, and where
    its content lies in the uncompressed layer: `[content_offset, content_offset + size_bytes)`. `size_bytes` is 0 unless FILE.
    """

    path: bytes
    kind: EntryKind
    mode: int  # permission bits with setuid, setgid and sticky: & 0o7777
    size_bytes: int
    content_offset: int
    mtime_seconds: int = 0
    link: bytes = b""  # target of a symbolic or hard link


Table = tuple[Entry, ...]
"""All entries of a layer, in the order of the archive."""
