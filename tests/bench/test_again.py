"""`scripts/bench again` counts a read only where the kernel still has the pages, and says what it did not count."""

import mmap
import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

import pytest

from bench import again
from bench.again import TRIES, Turn, Voids, repeated
from bench.reading import missing_pages, opened
from bench.scene import Failed
from mkfs.cache.page_cache import kernel_has_cachestat
from mkfs.units import MIB

DROPPED = "pages dropped by the kernel before the read"
WANTED = "requests for pages dropped during the read"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Sequence[FileIO]]:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(MIB))
    (tmp_path / "empty").touch()
    with opened(sorted(tmp_path.iterdir())) as files:
        yield files


class Kernel:
    """Says how many pages are missing each time it is asked, and none in the end."""

    def __init__(self, *missing: int) -> None:
        self.missing = list(missing)

    def __call__(self, files: object) -> int:
        return self.missing.pop(0) if self.missing else 0


def turns(*requests: int) -> Iterator[Turn]:
    return (Turn(float(number), count) for number, count in enumerate(requests))


@pytest.mark.parametrize(
    ("missing", "requests", "counted", "said"),
    [
        ([], [0], 0, "0"),
        ([7, 3], [0], 0, f"2, {DROPPED} 7, 3"),
        ([], [2, 0], 1, f"1, {WANTED} 2"),
        ([5], [2, 1, 1, 4], 3, f"{TRIES - 1}, {DROPPED} 5, {WANTED} 2, 1, 1"),
    ],
)
def test_a_read_counts_that_finds_all_pages_and_asks_for_none(
    files: Sequence[FileIO], monkeypatch: pytest.MonkeyPatch, missing: list[int], requests: list[int], counted: int, said: str
) -> None:
    monkeypatch.setattr(again, "missing_pages", Kernel(*missing))
    voids, coming = Voids(), turns(*requests)
    assert repeated(lambda _: next(coming), files, voids) == Turn(float(counted), requests[counted])
    assert str(voids) == said


def test_a_kernel_that_keeps_nothing_fails_the_question(files: Sequence[FileIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "missing_pages", Kernel(*[1] * TRIES))
    with pytest.raises(Failed, match=f"before each of {TRIES} reads"):
        repeated(lambda _: Turn(0.0), files, Voids())


@pytest.mark.skipif(not kernel_has_cachestat(os.uname().release), reason="needs Linux 6.5")
def test_pages_that_were_never_read_are_missing(tmp_path: Path) -> None:
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", MIB + 1)
    (tmp_path / "empty").touch()
    with opened(sorted(tmp_path.iterdir())) as files:
        assert missing_pages(files) == MIB // mmap.PAGESIZE + 1
