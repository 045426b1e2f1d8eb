"""The same archives before our scanner, Python's tarfile, GNU tar and bsdtar: what we accept, whoever accepts it reads alike.

Archives come from a seeded generator, sound ones and ones that were tampered with; the tools' view is what stands in each header
and the bytes of all files in a row.
"""

import codecs
import io
import math
import os
import random
import re
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadArchive
from mkfs.oci.digest import Digest
from tests.archive.tarballs import BLOCK, END, GNU, POSIX, V7, base256, extended, header, pad, record, scan, seal
from tests.plugins.needs import program


class Member(NamedTuple):
    """An entry as any reader tells it. Only files have a size, only links a target."""

    name: bytes
    kind: str
    size_bytes: int
    mode: int
    mtime_seconds: int
    link: bytes


View = tuple[list[Member], Digest]
"""Each entry, and what the content of all files in a row is."""

ARCHIVES: Final = int(os.environ.get("MKFS_ARCHIVES", "1000"))  # scripts/go-readers may take more
SOUND: Final = ARCHIVES // 5
TAMPERED: Final = ARCHIVES - SOUND
# Kind, permissions, owner, size (of a device its numbers), time, name. Columns of varying width: no name here starts with a space.
_GNU_LINE: Final = re.compile(rb"(.)(\S{9}) \S+ +(\S+) (\S+ \S+) +(.*)")
_LETTERS: Final = {
    b"-": "file",
    b"C": "file",
    b"d": "directory",
    b"l": "link",
    b"h": "hard link",
    b"b": "device",
    b"c": "device",
    b"p": "fifo",
}
_LINKS: Final = {"link", "hard link"}
_OURS: Final = {
    EntryKind.FILE: "file",
    EntryKind.DIRECTORY: "directory",
    EntryKind.SYMLINK: "link",
    EntryKind.HARDLINK: "hard link",
    EntryKind.CHARACTER_DEVICE: "device",
    EntryKind.BLOCK_DEVICE: "device",
    EntryKind.FIFO: "fifo",
}


def ours(data: bytes) -> View | None:
    """What we read; None where we refuse."""
    try:
        table = scan(data)
    except BadArchive:
        return None
    listing = [
        Member(shown(each.path, kind := _OURS[each.kind]), kind, each.size_bytes, each.mode, each.mtime_seconds, each.link)
        for each in table
    ]
    return listing, Digest.of(b"".join(data[entry.content_offset :][: entry.size_bytes] for entry in table))


def shown(name: bytes, kind: str) -> bytes:
    """The name as all readers can show it: a slash behind a directory's name is a matter of taste."""
    return name.rstrip(b"/") if kind == "directory" else name


def python(data: bytes) -> View | None:
    """What Python's tarfile reads; None where it raises."""
    listing: list[Member] = []
    content = b""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            for info in tar:
                kind = "file" if info.isreg() else "directory" if info.isdir() else "link" if info.issym() else "hard link"
                kind = "fifo" if info.isfifo() else "device" if info.isdev() else kind
                size_bytes, link = info.size if info.isreg() else 0, info.linkname if kind in _LINKS else ""
                name, target = (text.encode("utf-8", "surrogateescape") for text in (info.name, link))
                listing.append(Member(name, kind, size_bytes, info.mode & 0o7777, math.floor(info.mtime), target))
                if info.isreg():
                    content += data[info.offset_data : info.offset_data + info.size]
    except (tarfile.TarError, ValueError, OverflowError):
        return None
    return listing, Digest.of(content)


def gnu_tar(data: bytes) -> View | None:
    """What GNU tar reads; None where it complains."""
    tar = program("tar") or pytest.skip("needs GNU tar")
    command: list[str | Path] = [tar, "--numeric-owner", "--full-time", "--quoting-style=escape", "-P", "-f", "-"]
    listed = run(*command, "-tv", data=data)
    extracted = run(*command, "-xO", data=data)
    if listed is None or extracted is None:
        return None
    listing = []
    for line in listed.splitlines():
        match = _GNU_LINE.fullmatch(line)
        assert match, line
        kind = _LETTERS[match[1]]
        name, _, link = (
            match[5].partition({"link": b" -> ", "hard link": b" link to "}[kind]) if kind in _LINKS else (match[5], b"", b"")
        )
        unquoted: list[bytes] = [codecs.escape_decode(each)[0] for each in (name, link)]
        size_bytes = int(match[3]) if kind == "file" else 0
        time = datetime.fromisoformat(match[4].decode()).replace(tzinfo=UTC)
        listing.append(Member(shown(unquoted[0], kind), kind, size_bytes, _mode(match[2]), int(time.timestamp()), unquoted[1]))
    return listing, Digest.of(extracted)


def _mode(letters: bytes) -> int:
    """The permission bits that `rwxr-sr-t` means."""
    mode = sum(0o400 >> place for place, letter in enumerate(letters) if letter not in b"-ST")
    return mode | sum(0o4000 >> place for place, letter in enumerate(letters[2::3]) if letter in b"sStT")


def bsdtar(data: bytes) -> View | None:
    """What libarchive reads, by way of an archive it makes of it; None where it complains."""
    bsdtar = program("bsdtar") or pytest.skip("needs bsdtar: run scripts/install --test")
    converted = run(bsdtar, "--format", "pax", "-c", "-f", "-", "@-", data=data)
    return None if converted is None else python(converted)


def without_times(view: View) -> View:
    """The same, with every time at 0."""
    return [each._replace(mtime_seconds=0) for each in view[0]], view[1]


def run(*command: str | Path, data: bytes) -> bytes | None:
    """The output of a command that succeeds without a word on stderr."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=30, env={"LC_ALL": "C.UTF-8", "TZ": "UTC"}, check=False)
    return done.stdout if done.returncode == 0 and not done.stderr else None


def sound(seed: int) -> bytes:
    """An archive as one of the writers makes it."""
    chance = random.Random(seed)
    tar_format = chance.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for number in range(chance.randrange(12)):
            parts = ["".join(chance.choices("ab .-é\\", k=chance.choice([1, 9, 60, 99]))) for _ in range(chance.randrange(1, 5))]
            info = tarfile.TarInfo(f"{number}" + "/x".join(parts) + "z")
            info.type = chance.choice([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE])
            info.mode, info.mtime = chance.randrange(0o10000), chance.randrange(2**31)
            info.linkname = "target" if info.issym() else ""
            info.size = chance.choice([0, 1, 511, 512, 513, 3000]) if info.isreg() else 0
            try:
                tar.addfile(info, io.BytesIO(chance.randbytes(info.size)))
            except ValueError:  # too long for ustar
                continue
    return out.getvalue()


# What tampering chooses from; the first of each is sound.
NAMES: Final = [b"n", b"n/", b"./n", b"n\0m", b"n" * 100, b"\xff", b"", b"a/../b", b"n\nm"]
CONTENTS: Final = [b"", b"x", header(b"smuggled") + bytes(BLOCK), END, bytes(3 * BLOCK)]
SIZES: Final[list[int | bytes]] = [
    b"00000001000\0",
    b"          1 ",
    b"",
    base256(1),
    base256(-1),
    b"-0000000001\0",
    b"+1",
    b"0x1",
    b"\x000000000001",
]
MODES: Final[list[int | bytes]] = [0o644, b"0100644\0", b"\xff" * 8, b"abc"]
FLAGS: Final = [b"0", b"0", b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"D", b"S", b"V", b"Z"]
MAGICS: Final = [POSIX, POSIX, GNU, V7, b"ustar\x00\0\0", b"wrong\0\0\0"]
KEYS: Final = [b"path", b"size", b"linkpath", b"mtime", b"comment", b"GNU.sparse.size", b"SCHILY.realsize"]
VALUES: Final = [b"p", b"0", b"1", b"512", b"0.5", b"-1", b"", b"9" * 30]
ENDS: Final = [END, END, END, b"", bytes(BLOCK), bytes(BLOCK) + header(b"behind") + END, END + header(b"behind") + END]


def tampered(seed: int) -> bytes:
    """One to three entries, each sound or with something odd in it: two readers may differ on what they are."""
    chance = random.Random(seed)
    out = b"".join(odd_entry(b"%d" % number, chance) for number in range(chance.randrange(1, 4))) + chance.choice(ENDS)
    return out[: chance.randrange(len(out) + 1)] if chance.random() < 0.1 else out


def odd_entry(start: bytes, chance: random.Random) -> bytes:
    """An entry whose name begins with `start`, with its extended headers and content."""
    out, content, magic = b"", chance.choice(CONTENTS), chance.choice(MAGICS)
    if chance.random() < 0.3:
        values = [*VALUES, b"%d" % len(content)]
        records = b"".join(record(chance.choice(KEYS), chance.choice(values)) for _ in range(chance.randrange(3)))
        spoiled = [records] * 12 + [records[:-1], records + b"\0", b"0" + records]
        out += extended(chance.choice([b"x"] * 5 + [b"g"]), chance.choice(spoiled))
    if chance.random() < 0.2:
        out += extended(chance.choice([b"L", b"K"]), chance.choice([b"long\0", b"long", b"l" * 200 + b"\0", b"\0"]))
    if chance.random() < 0.7:  # (under GNU's magic Python alone takes a prefix for part of the name)
        block = header(start + chance.choice(NAMES), size=len(content), magic=magic)
    else:
        block = header(
            start + chance.choice(NAMES),
            size=chance.choice([len(content), *SIZES]),
            flag=chance.choice(FLAGS),
            mode=chance.choice(MODES),
            link=chance.choice([b"", b"t"]),
            magic=magic,
            prefix=b"" if magic == GNU else chance.choice([b"", b"p", b"p" * 155]),
        )
        if chance.random() < 0.1:
            block = seal(block[:508] + b"tar\0")
    if chance.random() < 0.1 and magic != GNU:
        block = seal(block[:345] + chance.randbytes(8) + block[353:])
    return out + block + pad(content)


def planted(root: Path) -> dict[bytes, tuple[str, int, int, bytes]]:
    """A directory with files of many names and sizes: kind, mode, time and content by path."""
    long = "directory-number-%02d-with-a-rather-long-name"
    names = [
        "plain",
        "with space",
        "-rf",
        "é",
        "new\nline",
        "back\\slash",
        "x" * 100,
        "y" * 101,
        "z" * 250,
        "deep/" + "/".join(long % n for n in range(7)),
    ]
    found: dict[bytes, tuple[str, int, int, bytes]] = {}
    for number, name in enumerate(names):
        path = root / name / "file"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([65 + number]) * (number * 300 + number % 3))
        path.chmod(0o600 + number)
        os.utime(path, ns=(0, 1_700_000_000_500_000_000 + number))
    for path in root.rglob("*"):
        status = path.stat()
        kind, content = ("directory", b"") if path.is_dir() else ("file", path.read_bytes())
        seconds = status.st_mtime_ns // 10**9  # st_mtime, a float, is the next one for the last tenth of a microsecond
        found[bytes(path.relative_to(root))] = (kind, status.st_mode & 0o7777, seconds, content)
    return found


WRITERS: Final = {
    "GNU tar as gnu": ("tar", "--format=gnu"),
    "GNU tar as oldgnu": ("tar", "--format=oldgnu"),
    "GNU tar as posix": ("tar", "--format=posix"),
    "bsdtar as pax": ("bsdtar", "--format=pax"),
    "bsdtar as it likes": ("bsdtar",),
    "bsdtar as gnutar": ("bsdtar", "--format=gnutar"),
}


@pytest.mark.parametrize("command", WRITERS.values(), ids=WRITERS)
def test_what_a_tool_packs_is_what_we_read(command: tuple[str, ...], tmp_path: Path) -> None:
    tool, *options = command
    wanted = planted(tmp_path)
    data = run(
        program(tool) or pytest.skip(f"needs {tool}: run scripts/install --test"),
        *options,
        "-C",
        tmp_path,
        "-cf",
        "-",
        ".",
        data=b"",
    )
    assert data is not None
    table = {entry.path.removeprefix(b"./").rstrip(b"/"): entry for entry in scan(data)}
    assert table.pop(b"").kind is EntryKind.DIRECTORY
    read = {
        path: (_OURS[entry.kind], entry.mode, entry.mtime_seconds, data[entry.content_offset :][: entry.size_bytes])
        for path, entry in table.items()
    }
    assert read == wanted


TOOLS: Final = {"tarfile": python, "GNU tar": gnu_tar, "bsdtar": bsdtar}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_sound_archives_read_alike(tool: Callable[[bytes], View | None]) -> None:
    for seed in range(SOUND):
        data = sound(seed)
        read = ours(data)
        assert read is not None, f"seed {seed}"
        assert tool(data) == read, f"seed {seed}"


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_tampered_archives_are_refused_or_read_alike(tool: Callable[[bytes], View | None]) -> None:
    compared = 0
    for seed in range(TAMPERED):
        data = tampered(seed)
        read = ours(data)
        if read is None:
            continue
        theirs = tool(data)
        if theirs is None:
            continue
        if tool is bsdtar and b"g" in data[156::BLOCK]:  # libarchive does not take a time from a global header; POSIX says to
            read, theirs = without_times(read), without_times(theirs)
        assert theirs == read, f"seed {seed}"
        compared += 1
    assert compared > TAMPERED / 10, "the generator tries little"
