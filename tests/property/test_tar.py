"""Whatever tar is written, we read what was written; whatever is not a tar, we refuse with a `BadArchive` and nothing else."""

import io
import re
import tarfile
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.archive.entry import EntryKind
from mkfs.archive.header import BLOCK_BYTES
from mkfs.errors import BadArchive
from tests.archive.tarballs import member, scan, scan_hopping, scan_streaming, scan_to_the_end, scan_windows, seal

EXAMPLES = settings(max_examples=150, derandomize=True, deadline=None, database=None)
KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.LNKTYPE: EntryKind.HARDLINK,
    tarfile.FIFOTYPE: EntryKind.FIFO,
}


@dataclass(frozen=True)
class Member:
    name: str
    kind: bytes
    mode: int
    mtime: int
    link: str
    content: bytes


components = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=70)
names = st.lists(components, min_size=1, max_size=6).map("/".join)
members = st.builds(
    Member,
    name=names,
    kind=st.sampled_from(list(KINDS)),
    mode=st.integers(0, 0o7777),
    mtime=st.integers(0, 2**33),
    link=names,
    content=st.binary(max_size=1600),
)


def written(wanted: list[Member], tar_format: int) -> bytes:
    """The members as Python's tarfile writes them. Raises `ValueError` where the format has no room for a name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape") as tar:
        for one in wanted:
            info = tarfile.TarInfo(one.name)
            info.type, info.mode, info.mtime = one.kind, one.mode, one.mtime
            info.linkname = one.link if one.kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            info.size = len(one.content) if one.kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(one.content))
    return out.getvalue()


@EXAMPLES
@given(
    wanted=st.lists(members, max_size=8), tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
)
def test_the_table_is_what_was_written(wanted: list[Member], tar_format: int) -> None:
    try:
        data = written(wanted, tar_format)
    except ValueError:
        return
    table = scan(data)
    assert [entry.path.removesuffix(b"/") for entry in table] == [one.name.encode() for one in wanted]
    for entry, one in zip(table, wanted, strict=True):
        content = one.content if one.kind == tarfile.REGTYPE else b""
        assert (entry.kind, entry.mode, entry.mtime_seconds) == (KINDS[one.kind], one.mode, one.mtime)
        assert data[entry.content_offset :][: entry.size_bytes] == content
        assert entry.size_bytes == len(content)
        assert entry.link == (one.link.encode() if entry.kind in (EntryKind.SYMLINK, EntryKind.HARDLINK) else b"")


@EXAMPLES
@given(wanted=st.lists(members, max_size=8), step_bytes=st.integers(1, 9000))
def test_the_table_does_not_depend_on_how_it_arrives(wanted: list[Member], step_bytes: int) -> None:
    data = written(wanted, tarfile.PAX_FORMAT)
    whole = scan(data)
    assert scan_hopping(data, step_bytes) == whole
    assert scan_streaming(data, step_bytes) == whole
    assert scan_to_the_end(data, step_bytes) == whole
    assert scan_windows(lambda window: data[window.start : window.stop], len(data))[0] == whole


@EXAMPLES
@given(wanted=st.lists(members, min_size=1, max_size=4), cut=st.integers(0, 40 * BLOCK_BYTES), tar_format=st.sampled_from([1, 2]))
def test_a_cut_archive_is_refused_or_ends_between_entries(wanted: list[Member], cut: int, tar_format: int) -> None:
    data = written(wanted, tar_format)
    try:
        table = scan(data[:cut])
    except BadArchive as error:
        with pytest.raises(BadArchive, match=re.escape(error.what)):
            scan_to_the_end(data[:cut], 700)
        return
    assert scan_to_the_end(data[:cut], 700) == table == scan(data)[: len(table)]
    assert all(entry.content_offset + entry.size_bytes <= cut for entry in table)


@settings(EXAMPLES, suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large], max_examples=300)
@given(flipped=st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=40), sealed=st.booleans())
def test_any_bytes_give_a_table_within_the_layer_or_bad_archive(flipped: list[tuple[int, int]], sealed: bool) -> None:
    block = bytearray(member(b"a/b", b"", mtime=7)[:BLOCK_BYTES])
    for at, value in flipped:
        block[at] = value
    data = (seal(bytes(block)) if sealed else bytes(block)) + member(b"c", b"content") + bytes(1024)
    try:
        table = scan(data)
    except BadArchive:
        return
    for entry in table:
        assert entry.content_offset % BLOCK_BYTES == 0
        assert 0 <= entry.size_bytes <= len(data) - entry.content_offset
        assert -(2**63) <= entry.mtime_seconds < 2**63
        assert 0 < len(entry.path) <= 4096


@pytest.mark.parametrize("step_bytes", [1, 511, 512, 513])
def test_random_bytes_after_a_good_start_do_no_harm(step_bytes: int) -> None:
    with pytest.raises(BadArchive, match="checksum"):
        scan_hopping(member(b"a", b"x") + bytes(range(256)) * 8, step_bytes)
