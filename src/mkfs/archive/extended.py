"""Extended headers and the header they stand before: what they say of one entry, together.

PAX `x` gives records, GNU `L` and `K` a long name and link target, each for the next entry only; PAX `g` holds for all that follow.
Tools differ in what two of a kind mean, in whether `g` may rename or resize (POSIX: yes, Go: ignored), in who wins where both
PAX and GNU name an entry, and in whether content follows a link or a directory that has a size. None of that is of use to a model,
so it is refused rather than decided.
"""

from typing import Final, final

from mkfs.archive.entry import Entry, EntryKind
from mkfs.archive.header import Header, until_nul
from mkfs.archive.pax import Records, parse_records
from mkfs.errors import BadArchive

_PAX, _PAX_GLOBAL, _GNU_PATH, _GNU_LINK = b"x", b"g", b"L", b"K"
EXTENDED: Final = frozenset({_PAX, _PAX_GLOBAL, _GNU_PATH, _GNU_LINK})
PATH_LIMIT_BYTES: Final = 4096  # PATH_MAX of Linux; holds for the target of a link as well

_V7_FILE, _CONTIGUOUS, _GNU_SPARSE = b"\0", b"7", b"S"
_KINDS: Final = {
    b"0": EntryKind.FILE,
    _V7_FILE: EntryKind.FILE,
    b"1": EntryKind.HARDLINK,
    b"2": EntryKind.SYMLINK,
    b"3": EntryKind.CHARACTER_DEVICE,
    b"4": EntryKind.BLOCK_DEVICE,
    b"5": EntryKind.DIRECTORY,
    b"6": EntryKind.FIFO,
}
_LINKS: Final = frozenset({EntryKind.HARDLINK, EntryKind.SYMLINK})
_NOTHING: Final = Records()


@final
class Extended:
    """Collects extended headers until the entry comes they are for; one object serves a whole archive."""

    __slots__ = ("_global_mtime", "_link", "_path", "_records", "name")

    def __init__(self) -> None:
        self._global_mtime: int | None = None
        self._records: Records | None = None
        self._path: bytes | None = None
        self._link: bytes | None = None
        self.name = b""  # of the entry under way, for errors; b"" while it is not known

    @property
    def waiting(self) -> bool:
        """Whether something was said of an entry that has not come yet."""
        return (self._records, self._path, self._link) != (None, None, None)

    def take(self, flag: bytes, data: bytes) -> None:
        """Takes the content of an extended header of type `flag`. Raises `BadArchive`."""
        if flag == _PAX and self._records is None:
            self._records = parse_records(data)
        elif flag == _GNU_PATH and self._path is None:
            self._path = until_nul(data)
        elif flag == _GNU_LINK and self._link is None:
            self._link = until_nul(data)
        elif flag == _PAX_GLOBAL and not self.waiting:
            records = parse_records(data)
            if (records.path, records.link, records.size_bytes) != (None, None, None):
                raise BadArchive("global PAX header gives all entries one name or size")
            self._global_mtime = self._global_mtime if records.mtime_seconds is None else records.mtime_seconds
        else:
            raise BadArchive(f"extended header of type {flag.decode()!r} in a wrong place, or twice for one entry")

    def entry(self, header: Header, content_offset: int) -> Entry:
        """The entry of `header`, with what was collected for it, which is forgotten then. Raises `BadArchive`."""
        records = self._records or _NOTHING
        self.name = path = _one_of("name", records.path, self._path, header.path)
        link = _one_of("link target", records.link, self._link, header.link)
        kind = _kind(header, path)
        size_bytes = header.size_bytes if records.size_bytes is None else records.size_bytes
        if not path:
            raise BadArchive("name is empty")
        if max(len(path), len(link)) > PATH_LIMIT_BYTES:
            raise BadArchive(f"name or link target is longer than {PATH_LIMIT_BYTES} bytes")
        if size_bytes and kind is not EntryKind.FILE:
            raise BadArchive(f"{kind.value} has content (got a size of {size_bytes} bytes, expected 0)")
        if kind in _LINKS and not link:
            raise BadArchive(f"{kind.value} has no target")
        mtime = next(time for time in (records.mtime_seconds, self._global_mtime, header.mtime_seconds) if time is not None)
        self._records = self._path = self._link = None
        return Entry(path, kind, header.mode, size_bytes, content_offset, mtime, link if kind in _LINKS else b"")


def _kind(header: Header, path: bytes) -> EntryKind:
    if header.flag == _GNU_SPARSE:
        raise BadArchive("sparse file: its content is not in one piece")
    if header.flag == _CONTIGUOUS:  # POSIX: as "0", for whoever has no such files; Go, and kit with it, takes no content
        raise BadArchive("contiguous file: some readers see its content, others do not")
    kind = _KINDS.get(header.flag)
    if kind is None:
        raise BadArchive(f"entry of a type nobody knows (got {header.flag!r})")
    ends_in_slash = path.endswith(b"/")
    if header.flag == _V7_FILE and ends_in_slash == header.path.endswith(b"/"):
        return EntryKind.DIRECTORY if ends_in_slash else kind  # V7 has no other way to say so
    if kind is EntryKind.FILE and (ends_in_slash or header.flag == _V7_FILE):
        raise BadArchive("name of a file ends in a slash")
    return kind


def _one_of(what: str, pax: bytes | None, gnu: bytes | None, stored: bytes) -> bytes:
    if pax is not None and gnu is not None:
        raise BadArchive(f"{what} is given twice, by PAX and by GNU")
    return pax if pax is not None else gnu if gnu is not None else stored
