"""Heads that no well-behaved server sends: several of what may come once."""

from dataclasses import dataclass, field

import pytest

from mkfs.errors import Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import OtherSize
from mkfs.registry.replies import delivered, refusal

WANTED = ByteRange(10, 20)


@dataclass
class Answered:
    """A head with these headers."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)

    def header_values(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


def test_one_exact_range_is_believed(blob: Descriptor) -> None:
    total = Answered(206, [("Content-Range", f"bytes 10-19/{blob.size_bytes}"), ("Content-Length", "10")])
    unknown = Answered(206, [("Content-Range", "bytes 10-19/*"), ("Content-Encoding", "identity")])
    assert delivered(total, blob, WANTED, "registry.test") == delivered(unknown, blob, WANTED, "registry.test") == WANTED


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("Content-Range", "bytes 10-19/*"), ("Content-Range", "bytes 10-19/*")], "2 Content-Range"),
        ([("Content-Type", "multipart/byteranges; boundary=x")], "no Content-Range"),
        ([("Content-Range", "bytes 10-19/*"), ("Content-Length", "10"), ("Content-Length", "11")], "makes no sense"),
        ([("Content-Range", "bytes 10-19/*"), ("Content-Length", "1e1")], "makes no sense"),
        ([("Content-Range", "bytes 10-19/*"), ("Content-Length", "٣")], "makes no sense"),
        ([("Content-Range", "bytes 10-19/*"), ("Content-Encoding", "identity"), ("Content-Encoding", "br")], "came encoded .br."),
    ],
)
def test_an_answer_with_two_meanings_is_no_answer(blob: Descriptor, headers: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(Unreachable, match=words):
        delivered(Answered(206, headers), blob, WANTED, "registry.test")


@pytest.mark.parametrize("more", [-1, 1])
def test_another_size_of_the_whole_blob_is_told_from_a_broken_answer(blob: Descriptor, more: int) -> None:
    """Only what says how large all of the blob is: a range of another place, or a body cut short, is a matter of one answer."""
    size_bytes = blob.size_bytes + more
    total = [("Content-Range", f"bytes 10-19/{size_bytes}"), ("Content-Length", "10")]
    for status, headers in ((206, total), (200, [("Content-Length", str(size_bytes))])):
        with pytest.raises(OtherSize):
            delivered(Answered(status, headers), blob, WANTED, "registry.test")
    beyond = Answered(416, [("Content-Range", f"bytes */{size_bytes}")])
    assert isinstance(refusal(beyond, "", "it", "registry.test"), OtherSize)
    another_place = [("Content-Range", f"bytes 11-20/{blob.size_bytes}"), ("Content-Length", "10")]
    cut = [("Content-Range", f"bytes 10-19/{blob.size_bytes}"), ("Content-Length", "9")]
    for headers in (another_place, cut):
        with pytest.raises(Unreachable) as caught:
            delivered(Answered(206, headers), blob, WANTED, "registry.test")
        assert not isinstance(caught.value, OtherSize)
