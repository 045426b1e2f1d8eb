"""What a well-formed tar holds, however it was written and however it arrives."""

import io
import tarfile

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive
from mkfs.ranges import ByteRange
from tests.archive.tarballs import BLOCK, END, entry, header, member, pax, scan, scan_hopping, scan_streaming

LONG = "/".join(["a-directory-with-a-rather-long-name"] * 8)  # 287 characters: too long for a ustar name with its prefix


def written(tar_format: int) -> bytes:
    """An archive with a bit of everything, as Python writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, content in [("model.bin", b"m" * 1500), ("empty", b""), ("é/ü", b"u"), (f"{'d' * 90}/{'f' * 90}", b"p" * 512)]:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o640, 1_700_000_000
            tar.addfile(info, io.BytesIO(content))
        for name, kind, target in [
            ("dir", tarfile.DIRTYPE, ""),
            ("soft", tarfile.SYMTYPE, "dir"),
            ("hard", tarfile.LNKTYPE, "empty"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o755
            tar.addfile(info)
        if tar_format != tarfile.USTAR_FORMAT:
            info = tarfile.TarInfo(f"{LONG}/file")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"end"))
            info = tarfile.TarInfo(f"{LONG}/link")
            info.type, info.linkname = tarfile.SYMTYPE, LONG
            tar.addfile(info)
    return out.getvalue()


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
def test_every_format_tells_name_kind_mode_time_size_and_place(tar_format: int) -> None:
    data = written(tar_format)
    table = {entry.path.decode(): entry for entry in scan(data)}
    assert list(table)[:7] == ["model.bin", "empty", "é/ü", f"{'d' * 90}/{'f' * 90}", "dir/", "soft", "hard"]
    model = table["model.bin"]
    assert (model.kind, model.mode, model.size_bytes, model.mtime_seconds) == (EntryKind.FILE, 0o640, 1500, 1_700_000_000)
    assert data[model.content_offset :][:1500] == b"m" * 1500
    assert (table["dir/"].kind, table["dir/"].mode) == (EntryKind.DIRECTORY, 0o755)
    assert (table["soft"].kind, table["soft"].link) == (EntryKind.SYMLINK, b"dir")
    assert (table["hard"].kind, table["hard"].link) == (EntryKind.HARDLINK, b"empty")
    if tar_format != tarfile.USTAR_FORMAT:
        last = table[f"{LONG}/file"]
        assert data[last.content_offset :][: last.size_bytes] == b"end"
        assert table[f"{LONG}/link"].link == LONG.encode()


@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
def test_windows_of_every_odd_size_give_the_same_table(tar_format: int) -> None:
    data = written(tar_format)
    whole = scan(data)
    for step_bytes in range(1, 3 * BLOCK, 2):
        assert scan_hopping(data, step_bytes) == whole
        if step_bytes % 50 == 1:
            assert scan_streaming(data, step_bytes) == whole


def test_only_headers_are_asked_for() -> None:
    data = member(b"big", b"x" * 100_000) + member(b"next") + END
    scanner = TarScanner(len(data))
    assert scanner.wants == ByteRange(0, BLOCK)
    scanner.feed(0, data[:100])
    assert scanner.wants == ByteRange(100, BLOCK)
    scanner.feed(0, data[:2000])
    assert scanner.wants == ByteRange(BLOCK + 100_352, 2 * BLOCK + 100_352)
    scanner.feed(2000, data[2000:3000])  # nothing new
    with pytest.raises(ValueError, match="past what is wanted"):
        scanner.feed(len(data) - BLOCK, data[-BLOCK:])
    with pytest.raises(ValueError, match="not complete"):
        scanner.table()


def test_a_long_extended_header_is_asked_for_whole() -> None:
    data = pax({b"path": b"p" * 3000}) + member() + END
    scanner = TarScanner(len(data))
    scanner.feed(0, data[:700])
    assert scanner.wants == ByteRange(700, BLOCK + 3072)
    scanner.feed(700, data[700:])
    assert [found.path for found in scanner.table()] == [b"p" * 3000]


def test_an_error_names_entry_place_and_layer() -> None:
    data = member(b"fine", b"x") + header(b"far/too\nlong", size=10_000)
    scanner = TarScanner(len(data), "layer sha256:abc")
    with pytest.raises(BadArchive) as caught:
        scanner.feed(0, data)
    assert caught.value.lines() == [
        "content ends past the end of the layer (at byte 11536 of 1536)",
        r"entry 'far/too\nlong', at byte 1024 of layer sha256:abc",
    ]
    with pytest.raises(BadArchive, match=r"after entry 'fine', at byte 1024 of the layer"):
        scan(member(b"fine", b"x") + b"?" * BLOCK)
    with pytest.raises(BadArchive, match=r"cut short .*first entry, at byte 0"):
        TarScanner(511)


def test_modes_keep_their_special_bits_and_nothing_above() -> None:
    assert scan(header(mode=0o104755) + END) == (entry(mode=0o4755),)


def test_one_archive_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    four = member(b"aa") + member(b"bb") + member(b"cc", flag=b"2", link=b"dd") + END
    monkeypatch.setattr("mkfs.archive.tar.ENTRIES_LIMIT", 3)
    monkeypatch.setattr("mkfs.archive.tar.NAMES_LIMIT_BYTES", 8)
    assert len(scan(four)) == 3
    monkeypatch.setattr("mkfs.archive.tar.NAMES_LIMIT_BYTES", 7)
    with pytest.raises(BadArchive, match="7 bytes of names"):
        scan(four)
    monkeypatch.setattr("mkfs.archive.tar.NAMES_LIMIT_BYTES", 8)
    monkeypatch.setattr("mkfs.archive.tar.ENTRIES_LIMIT", 2)
    with pytest.raises(BadArchive, match="more than 2 entries"):
        scan(four)
