"""PAX extended headers: records of `length key=value` and a line feed (POSIX.1-2017, pax, "pax Extended Header").

A malformed record is refused, never skipped: a reader that skips one sees other entries than a reader that does not
(CVE-2025-62518 and its kin). Of a key that stands twice the last counts, as POSIX says and every tool does.
"""

import re
from typing import Final, final

from msgspec import Struct

from mkfs.archive.numbers import pax_seconds, pax_size
from mkfs.errors import BadArchive

_LENGTH: Final = re.compile(rb"([1-9][0-9]{0,6}) ")  # of the whole record, itself included; seven digits are more than we take
_SPARSE: Final = (b"GNU.sparse.", b"SCHILY.realsize")  # star's, which bsdtar alone takes for the size of any file


@final
class Records(Struct, frozen=True):
    """What extended headers said of an entry, as far as we ask; None where they were silent."""

    path: bytes | None = None
    link: bytes | None = None
    size_bytes: int | None = None
    mtime_seconds: int | None = None


def parse_records(data: bytes) -> Records:
    """Reads the content of an `x` or `g` header. Raises `BadArchive`: malformed, or part of a sparse file."""
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length = _LENGTH.match(data, at)
        stop = at + int(length[1]) if length else 0
        key, equals, value = data[length.end() : stop - 1].partition(b"=") if length else (b"", b"", b"")
        if not key or not equals or b"\0" in key or stop > len(data) or data[stop - 1] != ord("\n"):
            raise BadArchive(f"PAX record is malformed (got {data[at : at + 40]!r})")
        if key.startswith(_SPARSE):
            raise BadArchive("sparse file: its content is not in one piece")
        values[key] = value
        at = stop
    size, mtime = values.get(b"size"), values.get(b"mtime")
    return Records(
        path=_name(values, b"path"),
        link=_name(values, b"linkpath"),
        size_bytes=None if size is None else pax_size(size),
        mtime_seconds=None if mtime is None else pax_seconds(mtime),
    )


def _name(values: dict[bytes, bytes], key: bytes) -> bytes | None:
    """A name for an entry. Empty ones are refused: POSIX has them undo a record, Go ignores them, others take them as a name."""
    value = values.get(key)
    if value is not None and (not value or b"\0" in value):
        raise BadArchive(f"PAX {key.decode()} is {'not a name: it holds a NUL' if value else 'empty'}")
    return value
