"""The targets notice: with a defect put in, an input that is kept fails."""

from collections.abc import Callable
from typing import Any, Final

import pytest

import tests.fuzz.archives
import tests.fuzz.documents
import tests.fuzz.headers
import tests.fuzz.machine
from mkfs.errors import LINE_LIMIT, BadDocument, MkfsError
from mkfs.oci.content_range import ContentRange
from mkfs.ranges import ByteRange
from tests.fuzz.oracles import Work, answer, check_words, check_work, work_of
from tests.fuzz.targets import CORPUS, TARGETS


def kept(target: str, name: str) -> bytes:
    return (CORPUS / target / f"seed-{name}").read_bytes()


def one_off(found: ContentRange | None) -> ContentRange | None:
    return None if found is None else ContentRange(ByteRange(found.range.start, found.range.stop + 1), found.total)


DEFECTS: Final[dict[str, tuple[str, Any, str, Callable[[Any], Any]]]] = {
    "an entry is lost": ("tar/posix", tests.fuzz.archives, "scan", lambda table: table[:-1]),
    "a mode is not what tarfile says": ("tar/posix", tests.fuzz.archives, "_by_tarfile", lambda entries: entries[::-1]),
    "content is lost": ("gzip/two-members", tests.fuzz.archives, "_decompressed", lambda content: content[:-1]),
    "a tensor is lost": ("safetensors/two", tests.fuzz.archives, "read_header", lambda _: None),
    "a range is longer by one": ("content-range/whole", tests.fuzz.headers, "parse_content_range", one_off),
    "a challenge is lost": ("challenge/several", tests.fuzz.headers, "parse_challenges", lambda found: found[: len(found) // 2]),
    "a name loses its tag": ("reference/tag", tests.fuzz.headers.Reference, "__str__", lambda text: text.rpartition(":")[0]),
    "a key of JSON is lost": ("json/all", tests.fuzz.documents, "decode_json", lambda document: {**document, "more": 1}),
    "a layer is lost": ("manifest/index", tests.fuzz.documents, "decode_referrers", lambda listed: listed[1:]),
    "a text of YAML is another": (
        "kitfile/words",
        tests.fuzz.documents.yaml,
        "load",
        lambda loaded: loaded | {"manifestVersion": 1.0},
    ),
    "a digest of an index is lost": ("own-index/table", tests.fuzz.documents.ChunkIndex, "encode", lambda data: data[:-1]),
    "a mount is lost": ("mountinfo/usual", tests.fuzz.machine, "parse_mountinfo", lambda mounts: mounts[: len(mounts) // 2]),
    "an option is lost": ("mount-words/usual", tests.fuzz.machine, "split_options", lambda options: options[:-1]),
}


@pytest.mark.parametrize(("where", "owner", "name", "spoil"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_noticed(
    monkeypatch: pytest.MonkeyPatch, where: str, owner: Any, name: str, spoil: Callable[[Any], Any]
) -> None:
    target, _, example = where.partition("/")
    data = kept(target, example)
    TARGETS[target].check(data)
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given, **named: spoil(original(*given, **named)))
    with pytest.raises((AssertionError, MkfsError)):
        TARGETS[target].check(data)


def test_only_the_errors_of_a_parser_are_answers() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert answer(BadDocument, fail, BadDocument("not a manifest")) is None
    for error in (MkfsError("unexpected"), ValueError("not ours"), RecursionError()):
        with pytest.raises(type(error)):
            answer(BadDocument, fail, error)
    for words in ("", "two\nlines", "x" * (LINE_LIMIT + 1)):
        spoilt = BadDocument("a message")
        spoilt.what = words  # past the constructor, which sees to it
        with pytest.raises(AssertionError):
            check_words(spoilt)


def test_work_out_of_proportion_is_noticed() -> None:
    few = work_of(lambda: [str(number) for number in range(10)])
    many = work_of(lambda: [str(number) + bytes(100).decode() for number in range(20_000)])
    check_work(few, 10)
    assert few.calls < 100
    assert many.calls >= 20_000
    assert few.peak_bytes < 50_000
    assert many.peak_bytes > 2_000_000
    for work in (Work(100_000, 0), Work(0, 10**8)):
        with pytest.raises(AssertionError):
            check_work(work, 10)
