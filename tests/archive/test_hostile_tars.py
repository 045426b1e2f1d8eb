"""Tars that are damaged, exotic or made to be read in two ways: entries all tools agree on, or `BadArchive`. Nothing in between."""

import gzip

import pytest

from mkfs.archive.entry import Entry, EntryKind
from mkfs.errors import BadArchive
from tests.archive.tarballs import (
    BLOCK,
    END,
    GNU,
    V7,
    base256,
    entry,
    extended,
    header,
    member,
    pad,
    pax,
    record,
    scan,
    scan_hopping,
    scan_to_the_end,
    seal,
)

MIB = 1024 * 1024
LAST = member(b"z") + END  # what must still be found behind an accepted case


def z(offset: int) -> Entry:
    """The entry of `LAST` where the archive before it is `offset` long."""
    return entry(b"z", offset + BLOCK)


# name: (archive, the entries it holds)
ACCEPTED: dict[str, tuple[bytes, tuple[Entry, ...]]] = {
    # names
    "name fills its field": (header(b"n" * 100) + END, (entry(b"n" * 100),)),
    "name fills field and prefix": (header(b"n" * 100, prefix=b"p" * 155) + END, (entry(b"p" * 155 + b"/" + b"n" * 100),)),
    "bytes behind the end of a name": (header(b"a\0b") + END, (entry(b"a"),)),
    "GNU keeps times where POSIX has the prefix": (header(magic=GNU, prefix=b"00000000000\0") + END, (entry(),)),
    "V7 header": (header(magic=V7) + END, (entry(),)),
    "name is not UTF-8": (header(b"\xff\xfe") + END, (entry(b"\xff\xfe"),)),
    "PAX name is not UTF-8": (pax({b"path": b"\xff"}) + header() + END, (entry(b"\xff", 3 * BLOCK),)),
    "GNU long name": (extended(b"L", b"n" * 300 + b"\0") + header() + END, (entry(b"n" * 300, 3 * BLOCK),)),
    "GNU long name without its NUL": (extended(b"L", b"n" * 512) + header() + END, (entry(b"n" * 512, 3 * BLOCK),)),
    "GNU long name cut at a slash": (
        extended(b"L", b"n" * 99 + b"/m\0") + header(b"n" * 99 + b"/") + END,
        (entry(b"n" * 99 + b"/m", 3 * BLOCK),),
    ),
    "longest name": (pax({b"path": b"n" * 4096}) + header() + END, (entry(b"n" * 4096, 11 * BLOCK),)),
    "the same name twice": (member() + member(mode=0o600) + END, (entry(), entry(content_offset=2 * BLOCK, mode=0o600))),
    "star's header with a short prefix": (
        seal(header(b"n", prefix=b"p".ljust(131, b"\0") + b"00000000000\0" * 2)[:508] + b"tar\0") + END,
        (entry(b"p/n"),),
    ),
    "star's header with a prefix that just fits, and no times": (
        seal(header(b"n", prefix=b"p" * 131)[:508] + b"tar\0") + END,
        (entry(b"p" * 131 + b"/n"),),
    ),
    "directory of the archive itself": (header(b"./", flag=b"5") + END, (entry(b"./", kind=EntryKind.DIRECTORY),)),
    "names that lead out, told as they are": (
        header(b"/etc/passwd") + header(b"../x") + header(b"a/../b") + END,
        (entry(b"/etc/passwd"), entry(b"../x", 2 * BLOCK), entry(b"a/../b", 3 * BLOCK)),
    ),
    # links: told as they are; the tree refuses them
    "symbolic link to an absolute path": (
        member(flag=b"2", link=b"/etc/passwd") + END,
        (entry(kind=EntryKind.SYMLINK, link=b"/etc/passwd"),),
    ),
    "hard link upwards": (member(flag=b"1", link=b"../x") + END, (entry(kind=EntryKind.HARDLINK, link=b"../x"),)),
    "GNU long link target": (
        extended(b"K", b"t" * 300 + b"\0") + member(flag=b"2", link=b"t" * 100) + END,
        (entry(content_offset=3 * BLOCK, kind=EntryKind.SYMLINK, link=b"t" * 300),),
    ),
    "GNU long name and long link target": (
        extended(b"K", b"t" * 300 + b"\0") + extended(b"L", b"n" * 300 + b"\0") + member(flag=b"1", link=b"t") + END,
        (entry(b"n" * 300, 5 * BLOCK, kind=EntryKind.HARDLINK, link=b"t" * 300),),
    ),
    "PAX link target": (
        pax({b"linkpath": b"t"}) + member(flag=b"2", link=b"u") + END,
        (entry(content_offset=3 * BLOCK, kind=EntryKind.SYMLINK, link=b"t"),),
    ),
    "link target of a file": (member(link=b"t") + LAST, (entry(), z(BLOCK))),
    # special types: told as they are, too
    "character device": (member(flag=b"3") + END, (entry(kind=EntryKind.CHARACTER_DEVICE),)),
    "block device": (member(flag=b"4") + END, (entry(kind=EntryKind.BLOCK_DEVICE),)),
    "fifo": (member(flag=b"6") + END, (entry(kind=EntryKind.FIFO),)),
    "V7 file": (member(b"a", b"x", flag=b"\0", magic=V7) + LAST, (entry(size_bytes=1), z(2 * BLOCK))),
    "V7 directory": (member(b"a/", flag=b"\0", magic=V7) + END, (entry(b"a/", kind=EntryKind.DIRECTORY),)),
    "directory without a slash": (member(flag=b"5") + END, (entry(kind=EntryKind.DIRECTORY),)),
    # PAX
    "PAX size wins over a smaller one": (
        pax({b"size": b"600"}) + header(size=0) + bytes(1024) + LAST,
        (entry(content_offset=3 * BLOCK, size_bytes=600), z(5 * BLOCK)),
    ),
    "PAX size wins over a larger one": (
        pax({b"size": b"1"}) + header(size=9999) + bytes(512) + LAST,
        (entry(content_offset=3 * BLOCK, size_bytes=1), z(4 * BLOCK)),
    ),
    "last of two PAX records": (
        extended(b"x", record(b"path", b"first") + record(b"path", b"last")) + header() + END,
        (entry(b"last", 3 * BLOCK),),
    ),
    "PAX records nobody asks for": (
        pax({b"SCHILY.xattr.user.x": b"\0\n=", b"uid": b"x", b"comment": b""}) + header() + END,
        (entry(content_offset=3 * BLOCK),),
    ),
    "PAX time before 1970": (pax({b"mtime": b"-1.5"}) + header() + END, (entry(content_offset=3 * BLOCK, mtime_seconds=-2),)),
    "PAX time of a whole second": (
        pax({b"mtime": b"-1"}) + header() + END,
        (entry(content_offset=3 * BLOCK, mtime_seconds=-1),),
    ),
    "PAX time before 1970 with a fraction of nothing": (
        pax({b"mtime": b"-1.000"}) + header() + END,
        (entry(content_offset=3 * BLOCK, mtime_seconds=-1),),
    ),
    "PAX name for one entry only": (pax({b"path": b"b"}) + member() + LAST, (entry(b"b", 3 * BLOCK), z(3 * BLOCK))),
    "empty PAX header": (extended(b"x", b"") + header() + END, (entry(content_offset=2 * BLOCK),)),
    "extended header of just 1 MiB, before each of two entries": (
        2 * (extended(b"x", record(b"comment", b"c" * (MIB - BLOCK - len(b"1048064 comment=\n")))) + member()) + END,
        (entry(content_offset=MIB + BLOCK), entry(content_offset=2 * (MIB + BLOCK))),
    ),
    "global PAX header with a comment": (pax({b"comment": b"c"}, b"g") + header() + END, (entry(content_offset=3 * BLOCK),)),
    "global PAX time holds until the next": (
        pax({b"mtime": b"5"}, b"g") + member(mtime=1) + pax({b"mtime": b"6"}) + member() + END,
        (entry(content_offset=3 * BLOCK, mtime_seconds=5), entry(content_offset=6 * BLOCK, mtime_seconds=6)),
    ),
    "global PAX time holds through a global comment": (
        pax({b"mtime": b"5"}, b"g") + pax({b"comment": b"c"}, b"g") + member(mtime=1) + END,
        (entry(content_offset=5 * BLOCK, mtime_seconds=5),),
    ),
    "global PAX header at the end": (member() + pax({b"comment": b"c"}, b"g") + END, (entry(),)),
    # framing
    "nothing": (b"", ()),
    "only the end": (END, ()),
    "one block of zeros at the end": (member() + bytes(BLOCK), (entry(),)),
    "no end at all": (member(b"a", b"x"), (entry(size_bytes=1),)),
    "no end at all behind content without padding": (member(b"a", b"x" * BLOCK), (entry(size_bytes=BLOCK),)),
    "padding of GNU tar behind the end": (member() + END + bytes(10_240), (entry(),)),
    "another archive behind the end": (member() + END + member(b"b") + END, (entry(),)),
    "rubbish behind the end": (member() + END + b"rubbish", (entry(),)),
    "size in base-256": (header(size=base256(1)) + pad(b"x") + LAST, (entry(size_bytes=1), z(2 * BLOCK))),
    "negative time in base-256": (header(mtime=base256(-7)) + END, (entry(mtime_seconds=-7),)),
    "earliest time of 64 bits": (header(mtime=base256(-(1 << 63))) + END, (entry(mtime_seconds=-(1 << 63)),)),
    "latest time of 64 bits": (header(mtime=base256((1 << 63) - 1)) + END, (entry(mtime_seconds=(1 << 63) - 1),)),
    "numbers padded with spaces": (header(size=b"         1 \0", mode=b"   644 \0") + pad(b"x") + END, (entry(size_bytes=1),)),
    "numbers left out": (header(mtime=bytes(12), mode=bytes(8)) + END, (entry(mode=0),)),
    "content looks like a header": (member(b"a", member(b"smuggled")) + LAST, (entry(size_bytes=BLOCK), z(2 * BLOCK))),
    "content looks like the end": (member(b"a", END) + LAST, (entry(size_bytes=1024), z(3 * BLOCK))),
}

# name: (archive, what the message says)
REFUSED: dict[str, tuple[bytes, str]] = {
    # names
    "empty name": (header(b"") + END, "name is empty"),
    "empty GNU long name": (extended(b"L", b"") + header() + END, "name is empty"),
    "GNU long name of NULs": (extended(b"L", bytes(5)) + header() + END, "name is empty"),
    "empty PAX name": (pax({b"path": b""}) + header() + END, "PAX path is empty"),
    "NUL in a PAX name": (pax({b"path": b"a\0b"}) + header() + END, "holds a NUL"),
    "name too long": (pax({b"path": b"n" * 4097}) + header() + END, "longer than 4096"),
    "file with a slash at the end": (member(b"a/") + END, "ends in a slash"),
    "prefix in a V7 header": (header(magic=V7, prefix=b"p") + END, "prefix, but the header is not of POSIX"),
    "V7 file with a slash in its short name": (extended(b"L", b"b\0") + header(b"a/", flag=b"\0") + END, "ends in a slash"),
    "V7 file with a slash in its long name": (extended(b"L", b"b/\0") + header(b"a", flag=b"\0") + END, "ends in a slash"),
    "name by PAX and by GNU": (pax({b"path": b"b"}) + extended(b"L", b"c\0") + header() + END, "given twice"),
    "two GNU long names": (extended(b"L", b"b\0") + extended(b"L", b"c\0") + header() + END, "'L' in a wrong place, or twice"),
    "file with a slash at the end of its PAX name": (pax({b"path": b"b/"}) + member() + END, "ends in a slash"),
    "star's header with a full prefix": (
        seal(header(b"n", prefix=b"p" * 131 + b"00000000000\0" * 2)[:508] + b"tar\0") + END,
        "star and POSIX end in different places",
    ),
    "GNU long name of 1 TiB": (header(flag=b"L", size=base256(1 << 40)) + END, "take more than 1048576"),
    # links
    "link without a target": (member(flag=b"2") + END, "symbolic link has no target"),
    "hard link without a target": (member(flag=b"1") + END, "hard link has no target"),
    "symbolic link with content": (header(flag=b"2", link=b"t", size=512) + bytes(512) + END, "symbolic link has content"),
    "hard link with content": (header(flag=b"1", link=b"t", size=512) + bytes(512) + END, "hard link has content"),
    "symbolic link with content by PAX": (
        pax({b"size": b"512"}) + header(flag=b"2", link=b"t") + bytes(512) + END,
        "symbolic link has content",
    ),
    "hard link with content by PAX": (
        pax({b"size": b"512"}) + header(flag=b"1", link=b"t") + bytes(512) + END,
        "hard link has content",
    ),
    "empty PAX link target": (pax({b"linkpath": b""}) + header(flag=b"2", link=b"t") + END, "PAX linkpath is empty"),
    "NUL in a PAX link target": (pax({b"linkpath": b"a\0"}) + header(flag=b"2") + END, "holds a NUL"),
    "link target too long": (extended(b"K", b"t" * 4097) + header(flag=b"2") + END, "longer than 4096"),
    "two GNU long link targets": (
        extended(b"K", b"b\0") + extended(b"K", b"c\0") + header(flag=b"2") + END,
        "'K' in a wrong place",
    ),
    "target by PAX and by GNU": (
        pax({b"linkpath": b"b"}) + extended(b"K", b"c\0") + header(flag=b"2") + END,
        "target is given twice",
    ),
    # special types
    "directory with content": (header(flag=b"5", size=512) + bytes(512) + END, "directory has content"),
    "directory with content by PAX": (pax({b"size": b"512"}) + header(flag=b"5") + bytes(512) + END, "directory has content"),
    "V7 directory with content": (header(b"a/", flag=b"\0", size=512) + bytes(512) + END, "directory has content"),
    "fifo with content": (header(flag=b"6", size=512) + bytes(512) + END, "fifo has content"),
    "device with content": (header(flag=b"3", size=512) + bytes(512) + END, "character device has content"),
    "contiguous file": (member(b"a", b"x", flag=b"7") + LAST, "some readers see its content"),
    "long name of an old GNU tar": (member(b"a", b"x", flag=b"N") + END, "type nobody knows"),
    "GNU volume label": (member(flag=b"V") + END, "type nobody knows"),
    "GNU multi-volume": (member(flag=b"M") + END, "type nobody knows"),
    "GNU directory of an incremental archive": (member(flag=b"D") + END, "type nobody knows"),
    "Solaris extended header": (member(flag=b"X") + END, "type nobody knows"),
    "type of tomorrow": (member(flag=b"\xff") + END, "type nobody knows"),
    # sparse
    "old GNU sparse": (member(b"a", b"x", flag=b"S", magic=GNU) + END, "sparse file"),
    "GNU sparse 0.0": (pax({b"GNU.sparse.numblocks": b"1", b"GNU.sparse.size": b"9"}) + header() + END, "sparse file"),
    "GNU sparse 0.1": (pax({b"GNU.sparse.map": b"0,1", b"GNU.sparse.size": b"9"}) + header() + END, "sparse file"),
    "GNU sparse 1.0": (pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}) + header() + END, "sparse file"),
    "another name by GNU sparse": (pax({b"path": b"a", b"GNU.sparse.name": b"b"}) + header() + END, "sparse file"),
    "real size by GNU sparse": (pax({b"GNU.sparse.realsize": b"99999999999"}) + header() + END, "sparse file"),
    "real size by star": (pax({b"SCHILY.realsize": b"600"}) + member(b"a", b"x") + END, "sparse file"),
    "sparse for all entries": (pax({b"GNU.sparse.major": b"1"}, b"g") + header() + END, "sparse file"),
    # PAX
    "PAX size is negative": (pax({b"size": b"-1"}) + header() + END, "PAX size is not a number"),
    "PAX size has a sign": (pax({b"size": b"+1"}) + header(size=1) + END, "PAX size is not a number"),
    "PAX size as Python writes it": (pax({b"size": b"1_0"}) + header() + END, "PAX size is not a number"),
    "PAX size is empty": (pax({b"size": b""}) + header() + END, "PAX size is not a number"),
    "PAX size of five thousand digits": (pax({b"size": b"9" * 5000}) + header() + END, "PAX size is not a number"),
    "PAX size past the end": (pax({b"size": b"9223372036854775807"}) + header() + END, "content ends past the end"),
    "PAX time is no number": (pax({b"mtime": b"1e9"}) + header() + END, "PAX time is not a number"),
    "PAX time of 65 bits": (pax({b"mtime": b"9223372036854775808"}) + header() + END, "more than 64 bits"),
    "PAX length of zero": (extended(b"x", b"0 path=b\n") + header() + END, "malformed"),
    "PAX length with a zero in front": (extended(b"x", b"010 path=b\n") + header() + END, "malformed"),
    "PAX length with a sign": (extended(b"x", b"+9 path=b\n") + header() + END, "malformed"),
    "PAX length of a million digits": (extended(b"x", b"9" * 1_000_000) + header() + END, "malformed"),
    "PAX length past the end": (extended(b"x", b"11 path=b\n") + header() + END, "malformed"),
    "PAX length within its key": (extended(b"x", b"5 path=b\n") + header() + END, "malformed"),
    "PAX length within itself": (extended(b"x", b"2 \n") + header() + END, "malformed"),
    "PAX record without a space": (extended(b"x", b"9\tpath=b\n") + header() + END, "malformed"),
    "PAX record without a key": (extended(b"x", b"5 =b\n") + header() + END, "malformed"),
    "PAX record without an equals sign": (extended(b"x", b"9 path b\n") + header() + END, "malformed"),
    "PAX record without a line feed": (extended(b"x", b"9 path=bc") + header() + END, "malformed"),
    "NUL in a PAX key": (pax({b"pa\0th": b"b"}) + header() + END, "malformed"),
    "NULs behind PAX records": (extended(b"x", record(b"path", b"b") + bytes(3)) + header() + END, "malformed"),
    "second PAX record is malformed": (extended(b"x", record(b"path", b"b") + b"9 size 5\n") + header() + END, "malformed"),
    "two PAX headers": (pax({b"path": b"b"}) + pax({b"size": b"0"}) + header() + END, "'x' in a wrong place, or twice"),
    "PAX header without its entry": (member() + pax({b"path": b"b"}) + END, "not followed by its entry"),
    "PAX header without its entry, and padding": (pax({b"path": b"b"}) + END + bytes(BLOCK), "not followed by its entry"),
    "PAX header as the last thing": (member() + pax({b"path": b"b"}), "not followed by its entry"),
    "empty PAX header as the last thing": (member() + extended(b"x", b""), "not followed by its entry"),
    "global PAX header between another and its entry": (
        pax({b"path": b"b"}) + pax({b"comment": b"c"}, b"g") + header() + END,
        "'g' in a wrong place",
    ),
    "global PAX name": (pax({b"path": b"b"}, b"g") + header() + END, "all entries one name or size"),
    "global PAX link target": (pax({b"linkpath": b"b"}, b"g") + header(flag=b"2") + END, "all entries one name or size"),
    "global PAX size": (pax({b"size": b"1"}, b"g") + header() + END, "all entries one name or size"),
    "extended header over 1 MiB": (extended(b"x", record(b"comment", b"c" * MIB)) + header() + END, "take more than 1048576"),
    "extended header said to be 1 TiB": (header(flag=b"x", size=base256(1 << 40)) + END, "take more than 1048576"),
    "extended headers over 1 MiB together": (
        pax({b"comment": b"c" * 99_000}, b"g") * 11 + header() + END,
        "take more than 1048576",
    ),
    "a thousand empty extended headers": (extended(b"g", b"") * 2049 + header() + END, "take more than 1048576"),
    # framing
    "not a tar": (gzip.compress(bytes(range(256)) * 99), "checksum|cut short"),
    "header one bit off": (header().replace(b"a", b"c", 1) + END, "checksum is wrong"),
    "checksum of signed bytes": (header(b"\xff", checksum=sum(header(b"\xff")) - 256) + END, "checksum is wrong"),
    "no checksum": (header(checksum=bytes(8)) + END, "checksum is wrong"),
    "checksum is no number": (header(checksum=b"12345678") + END, "checksum is not a number"),
    "checksum in base-256": (header(checksum=base256(1, 8)) + END, "checksum is not a number"),
    "cut within a header": ((member() + header(b"b"))[:-1], "cut short"),
    "cut within content": (member(b"a", b"x" * 600)[: BLOCK + 599], "content ends past the end"),
    "cut within padding": (member(b"a", b"x" * 600)[:-1], "cut short"),
    "cut within an extended header": (pax({b"path": b"b"})[:-1], "cut short"),
    "cut within a long extended header": (pax({b"path": b"p" * 3000})[: 4 * BLOCK], "cut short"),
    "cut before the content of an extended header": (pax({b"path": b"b"})[:BLOCK], "cut short"),
    "a block and a bit of zeros": (member() + bytes(BLOCK + 1), "cut short"),
    "one block of zeros in the middle": (member() + bytes(BLOCK) + member(b"b") + END, "single block of zeros"),
    "size is negative": (header(size=base256(-1)) + END, "size is negative"),
    "size is negative and huge": (header(size=base256(-(1 << 62))) + END, "size is negative"),
    "size of 2 to the 64th": (header(size=base256(1 << 64)) + END, "content ends past the end"),
    "size is no number": (header(size=b"12345678x\0") + END, "size is not a number"),
    "size has two numbers": (header(size=b"1 2\0") + END, "size is not a number"),
    "size behind a NUL": (header(size=b"\x000000000001\0") + pad(b"x") + END, "size is not a number"),
    "size with something behind its end": (header(size=b"1\0rubbish\0\0\0") + pad(b"x") + END, "size is not a number"),
    "size in decimal": (header(size=b"0000000019\0") + END, "size is not a number"),
    "size as Python writes octal": (header(size=b"0o10\0") + END, "size is not a number"),
    "base-256 of another dialect": (header(size=b"\x81" + bytes(11)) + END, "size is not a number"),
    "mode is no number": (header(mode=b"rw-r--r-") + END, "mode is not a number"),
    "time is no number": (header(mtime=b"yesterday\0\0\0") + END, "modification time is not a number"),
    "time a second before the earliest": (header(mtime=base256(-(1 << 63) - 1)) + END, "more than 64 bits"),
    "time of 88 bits": (header(mtime=base256(1 << 80)) + END, "more than 64 bits"),
}


@pytest.mark.parametrize(("data", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(data: bytes, expected: tuple[Entry, ...]) -> None:
    assert scan(data) == expected
    assert scan_hopping(data, 333) == expected
    assert scan_to_the_end(data, 333) == expected


@pytest.mark.parametrize(("data", "what"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, what: str) -> None:
    with pytest.raises(BadArchive, match=what) as caught:
        scan(data)
    assert "at byte" in caught.value.where
    assert len(caught.value.what) < 200
    with pytest.raises(BadArchive, match=what):
        scan_hopping(data, 333)
    with pytest.raises(BadArchive, match=what) as caught:
        scan_to_the_end(data, 333)
    assert "at byte" in caught.value.where
