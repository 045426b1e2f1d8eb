"""The entries of an uncompressed tar, read from its headers alone: a state machine that says which bytes it must see next.

Theory. Headers form a chain: each one tells where the next lies. So whoever feeds the scanner reads a window at `wants`, feeds it,
and asks again; content is hopped over (how much to read at once is `archive.windows`' business). The bytes are hostile. Where the
tools that unpack such layers (Go's archive/tar in kit, GNU tar, bsdtar, Python) agree about what an archive holds, so do we; where
they would not, it is refused (`archive.extended`, `archive.pax`, `archive.header` say what). Sparse files are refused as well.

The end is two blocks of zeros; whatever follows them is ignored, as GNU tar and Go do. One block of zeros, or nothing, is an end
too where it is the last of the layer. Where a layer ends is known beforehand or, of one that is decompressed as it comes, only then
(`finish`); what is refused is the same.

Bounds: memory grows with the entries and their names (`ENTRIES_LIMIT`, `NAMES_LIMIT_BYTES`) and one entry's extended headers
(`EXTENDED_LIMIT_BYTES`); every header is copied and looked at once.
"""

from typing import Final, final

from mkfs.archive.entry import Entry, Table
from mkfs.archive.extended import EXTENDED, Extended
from mkfs.archive.header import BLOCK_BYTES, ZERO_BLOCK, Header, decode_header, padded
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive
from mkfs.ranges import ByteRange
from mkfs.units import MIB

END_BYTES: Final = 2 * BLOCK_BYTES  # of zeros: POSIX, and all that write archives
EXTENDED_LIMIT_BYTES: Final = MIB  # extended headers before one entry, content included; Go's limit for a single one
ENTRIES_LIMIT: Final = 1_000_000  # of a layer: some 300 MB of table; the largest data sets in kits are far below
NAMES_LIMIT_BYTES: Final = 128 * MIB  # of all names and targets in a layer: a million of the longest would be 8 GiB of memory


@final
class TarScanner:
    """Scans a tar of `size_bytes`; `layer` names it in errors. Feed it until `wants` is None, then take the `table`.

    With `size_bytes` None feed it everything, then `finish` it. `BadArchive` (what is wrong, entry and offset) may come from the
    constructor, `feed` and `finish`; the scanner is spent then.
    """

    __slots__ = (
        "_at",
        "_awaited",
        "_complete",
        "_entries",
        "_extended",
        "_extended_bytes",
        "_layer",
        "_names_bytes",
        "_needed",
        "_pending",
        "_size_bytes",
        "_zeros_seen",
    )

    def __init__(self, size_bytes: int | None, layer: str = "") -> None:
        self._size_bytes, self._layer = size_bytes, layer
        self._at = self._needed = 0  # what is awaited: `_needed` bytes from `_at` on, of which `_pending` holds the first
        self._pending = bytearray()
        self._awaited: Header | None = None  # the extended header whose content is awaited; None: a header is
        self._zeros_seen = self._complete = False
        self._extended, self._extended_bytes = Extended(), 0
        self._entries: list[Entry] = []
        self._names_bytes = 0
        try:
            self._await_header(0)
        except BadArchive as error:
            raise BadArchive(error.what, self._where()) from None

    @property
    def wants(self) -> ByteRange | None:
        """The next bytes to be seen: the rest of a header, or of an extended header's content. Never empty; None when complete."""
        return None if self._complete else ByteRange(self._at + len(self._pending), self._at + self._needed)

    @property
    def is_filled(self) -> bool:
        """Whether the entries so far leave the layer exactly the mark of its end: another one would take its place."""
        if self._size_bytes is None or self._awaited is not None or self._extended.waiting or self._zeros_seen:
            return False
        return bool(self._entries) and self._size_bytes - self._at == END_BYTES

    def feed(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Takes every header it can from a window of the layer that starts at `offset`, and ignores the rest; keeps no reference.

        A window may hold less than `wants`, down to one byte. One that ends before the start of `wants` has nothing new and is
        ignored, so a layer may also be fed in one pass, window after window. Raises `BadArchive`, and `ValueError` for a window
        that starts past the start of `wants`.
        """
        window = memoryview(data)
        while not self._complete:
            start = self._at + len(self._pending) - offset
            if start < 0:
                raise ValueError(f"window starts at {offset}, past what is wanted: {self.wants}")
            self._pending += window[start : self._at + self._needed - offset]  # nothing, where an extended header is empty
            if len(self._pending) < self._needed:
                return
            block = bytes(self._pending)
            self._pending.clear()
            try:
                self._take(block)
            except BadArchive as error:
                raise BadArchive(error.what, self._where()) from None

    def finish(self, size_bytes: int) -> None:
        """Says that the layer, all of which was fed, ends here after `size_bytes`. Raises `BadArchive`."""
        self._size_bytes = size_bytes
        if self._complete:
            return
        try:
            if self._entries:
                self._check_content(self._entries[-1])
            if self._pending or self._awaited is not None:
                self._await(self._at, self._needed)
            self._await_header(self._at)
        except BadArchive as error:
            raise BadArchive(error.what, self._where()) from None

    def entries_from(self, number: int) -> list[Entry]:
        """The entries known so far, without the first `number`."""
        return self._entries[number:]

    def table(self) -> Table:
        """All entries. Raises `ValueError` while something is still wanted."""
        if not self._complete:
            raise ValueError(f"the table is not complete: {self.wants} is missing")
        return tuple(self._entries)

    def __repr__(self) -> str:
        return f"<TarScanner of {self._size_bytes or 'unknown'} bytes, {len(self._entries)} entries, wants {self.wants}>"

    def _take(self, block: bytes) -> None:
        if self._awaited is not None:
            header, self._awaited = self._awaited, None
            self._extended.take(header.flag, block[: header.size_bytes])
            self._await_header(self._at + len(block))
        elif block == ZERO_BLOCK:
            self._check_nothing_waits()
            self._complete, self._zeros_seen = self._zeros_seen, True
            self._await_header(self._at + BLOCK_BYTES)
        elif self._zeros_seen:
            raise BadArchive("a single block of zeros is followed by something else")
        else:
            header = decode_header(block)
            take = self._take_extended_header if header.flag in EXTENDED else self._take_entry
            take(header, self._at + BLOCK_BYTES)

    def _take_extended_header(self, header: Header, content_offset: int) -> None:
        content_bytes = padded(header.size_bytes)
        self._extended_bytes += BLOCK_BYTES + content_bytes
        if self._extended_bytes > EXTENDED_LIMIT_BYTES:
            raise BadArchive(f"extended headers of one entry take more than {EXTENDED_LIMIT_BYTES} bytes")
        self._awaited = header
        self._await(content_offset, content_bytes)

    def _take_entry(self, header: Header, content_offset: int) -> None:
        entry = self._extended.entry(header, content_offset)
        self._check_content(entry)
        self._names_bytes += len(entry.path) + len(entry.link)
        if len(self._entries) == ENTRIES_LIMIT or self._names_bytes > NAMES_LIMIT_BYTES:
            raise BadArchive(f"more than {ENTRIES_LIMIT} entries, or {NAMES_LIMIT_BYTES} bytes of names")
        self._entries.append(entry)
        self._extended.name, self._extended_bytes = b"", 0
        self._await_header(content_offset + padded(entry.size_bytes))

    def _await_header(self, at: int) -> None:
        if at == self._size_bytes:
            self._check_nothing_waits()
            self._complete = True
        if not self._complete:
            self._await(at, BLOCK_BYTES)

    def _await(self, at: int, needed: int) -> None:
        self._at, self._needed = at, needed
        if self._size_bytes is not None and at + needed > self._size_bytes:
            raise BadArchive(f"archive is cut short (got {self._size_bytes} bytes, expected at least {at + needed})")

    def _check_content(self, entry: Entry) -> None:
        stop = entry.content_offset + entry.size_bytes
        if self._size_bytes is not None and stop > self._size_bytes:
            raise BadArchive(f"content ends past the end of the layer (at byte {stop} of {self._size_bytes})")

    def _check_nothing_waits(self) -> None:
        if self._extended.waiting:
            raise BadArchive("extended header is not followed by its entry")

    def _where(self) -> str:
        """The entry under way or, while its name is not known, the one before it."""
        entry = "first entry"
        if self._extended.name:
            entry = f"entry {show_name(self._extended.name)}"
        elif self._entries:
            entry = f"after entry {show_name(self._entries[-1].path)}"
        return f"{entry}, at byte {self._at} of {self._layer or 'the layer'}"
