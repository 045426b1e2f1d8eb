"""Targets: what a server says in headers, and the names that people type."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from mkfs.errors import BadReference, MkfsError
from mkfs.oci.challenge import Challenge, parse_challenges
from mkfs.oci.content_range import parse_content_range
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.links import next_link
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry import replies
from mkfs.registry.urls import Url
from tests.fuzz.oracles import answer

BASE: Final = Url.parse("https://registry.example.org/v2/acme/model/tags/list?n=1000")
BLOB: Final = Descriptor("application/octet-stream", Digest.of(b"blob"), 1000)
WANTED: Final = ByteRange(100, 200)
NOW: Final = 1_800_000_000.0
_TOLD_LIMIT: Final = 60  # characters of what is said of a URL that is none
_ESCAPED: Final = re.compile(r'(["\\])')


def check_challenge(data: bytes) -> None:
    """What was read can be written in one form, and is read from it again."""
    found = parse_challenges(data.decode("latin-1").split("\n"))
    assert parse_challenges([", ".join(map(_written, found))]) == found
    for challenge in found:
        assert challenge.scheme == challenge.scheme.lower()
        assert not (challenge.token68 and challenge.parameters)


def _written(challenge: Challenge) -> str:
    quoted = ((name, _ESCAPED.sub(r"\\\1", value)) for name, value in challenge.parameters.items())
    parameters = (f'{name}="{value}"' for name, value in quoted)
    return f"{challenge.scheme} {challenge.token68 or ', '.join(parameters)}".rstrip(" ")


class Head:
    """A head of an answer: its `Content-Range` (none: the status is 200), and further headers one a line."""

    def __init__(self, content_range: str, *others: str) -> None:
        self.status = 206 if content_range else 200
        lines = [f"content-range:{content_range}" if content_range else "", *others]
        self._headers = [(name.lower(), value) for name, _, value in (line.partition(":") for line in lines)]

    def header_values(self, name: str) -> Sequence[str]:
        """As `replies.Head`."""
        return [value for each, value in self._headers if each == name.lower()]


def check_content_range(data: bytes) -> None:
    """Read half-open from exactly what would be written; an answer is taken for bytes that were wanted, or refused."""
    text, *others = data.decode("latin-1").split("\n")
    found = parse_content_range(text)
    if found is not None:
        assert found.range.length
        total = "*" if found.total is None else str(found.total)
        written = f"bytes {found.range.start}-{found.range.stop - 1}/{total}"
        assert parse_content_range(written) == found
        digits = [int(each) for each in re.findall(r"[0-9]+", text)]
        assert digits == [found.range.start, found.range.stop - 1, *([] if found.total is None else [found.total])]
    head = Head(text, *others)
    delivered = answer(MkfsError, replies.delivered, head, BLOB, WANTED, "host")
    assert delivered is None or delivered.start <= WANTED.start
    assert delivered is None or delivered.stop <= BLOB.size_bytes
    seconds = replies.retry_after_seconds(head, NOW)
    assert seconds is None or seconds >= 0
    replies.is_web_page(head)


def _url(read: Callable[[str], Url], text: str) -> Url | None:
    """The URL that `text` is or leads to; None for none, which is told without the text, as that may be signed."""
    told = ""
    try:
        return read(text)
    except ValueError as error:
        told = f"{error} {error.__cause__}"
    assert len(told) < _TOLD_LIMIT, told
    return None


def check_link(data: bytes) -> None:
    """A target leads to a URL that is read the same way again, or nowhere."""
    text = data.decode("latin-1")
    link = next_link(text.split("\n"))
    assert link == next_link(text.split("\n"))
    for given in (link, text):
        for read in (BASE.join, Url.parse):
            url = _url(read, given)
            if url is None:
                continue
            assert Url.parse(f"{url.origin}{url.target}") == url
            assert f"{url.origin}{url.target}".isascii()
            assert 0 < url.origin.port < 65536


def check_reference(data: bytes) -> None:
    """A name comes back from how it is shown."""
    text = data.decode("utf-8", "surrogateescape")
    aliases = {"alias": "ghcr.io/acme", "": "ghcr.io"}
    for read in (Reference.parse, Reference.parse_source):
        for or_repository in (False, True):
            for known in ({}, aliases):
                found = answer(BadReference, read, text, known, or_repository=or_repository)
                if found is not None:
                    assert read(str(found), or_repository=or_repository) == found
                    assert str(found).isprintable() or found.is_layout
                    assert found.pinned(BLOB.digest).selector == str(BLOB.digest)
    digest = Digest.found_in(text)
    assert digest is None or str(digest) == text
