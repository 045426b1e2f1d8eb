"""What a table from elsewhere must keep to: no more than a scan of a tar could have found, and no path that the tree would refuse.

A table that names the bytes of another entry, or bytes of headers, would show them as a file's content with every digest in order.
So entries lie as they do in a tar: in order, apart, a header before each.
"""

from itertools import pairwise
from typing import Final

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.extended import PATH_LIMIT_BYTES
from mkfs.archive.header import BLOCK_BYTES, padded
from mkfs.archive.names import show_name
from mkfs.archive.tar import ENTRIES_LIMIT
from mkfs.errors import BadArchive, IntegrityError
from mkfs.tree.paths import components

_MODE_MASK: Final = 0o7777
_LINKS: Final = (EntryKind.HARDLINK, EntryKind.SYMLINK)


def check_table(table: Table, content_bytes: int, where: str) -> None:
    """Returns if `table` could be that of a tar of `content_bytes`. Raises `IntegrityError`."""
    if len(table) > ENTRIES_LIMIT:
        raise IntegrityError(f"table has too many entries (got {len(table)}, expected at most {ENTRIES_LIMIT})", where)
    for entry in table:
        if problem := _problem(entry, content_bytes):
            raise IntegrityError(f"entry {show_name(entry.path)} {problem}", where)
    for before, entry in pairwise(table):
        if entry.content_offset < _stop(before) + BLOCK_BYTES:
            raise IntegrityError(f"entry {show_name(entry.path)} overlaps the one before it", where)


def _problem(entry: Entry, content_bytes: int) -> str:
    """What is wrong with `entry` on its own; "" for nothing."""
    try:
        components(entry.path)
    except BadArchive as error:
        return f"has a path that has no place: {error.what}"
    if entry.kind is EntryKind.FILE and entry.path.endswith(b"/"):
        return "is a file and ends in a slash"
    if entry.mode & ~_MODE_MASK:
        return f"has a mode of more than permissions (got {entry.mode:#o})"
    if entry.size_bytes < 0 or (entry.size_bytes and entry.kind is not EntryKind.FILE):
        return f"is a {entry.kind.value} of {entry.size_bytes} bytes"
    if entry.content_offset < BLOCK_BYTES or entry.content_offset % BLOCK_BYTES:
        return f"has its content where no tar has any (at byte {entry.content_offset})"
    if entry.content_offset + entry.size_bytes > content_bytes:
        return f"leaves the layer (ends at byte {entry.content_offset + entry.size_bytes} of {content_bytes})"
    if bool(entry.link) != (entry.kind in _LINKS) or len(entry.link) > PATH_LIMIT_BYTES or b"\0" in entry.link:
        return f"is a {entry.kind.value} with the link target {show_name(entry.link)}"
    return ""


def _stop(entry: Entry) -> int:
    return entry.content_offset + padded(entry.size_bytes)
