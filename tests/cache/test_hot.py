"""Hot chunks: one load for many threads, right bytes for whoever asks, and a bound on memory."""

import hashlib
import threading

import pytest

from mkfs.cache.hot import HotChunks
from mkfs.units import KIB, MIB


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Disk:
    """Counts its readers, and lets them go on when told."""

    def __init__(self, data: bytes) -> None:
        self.data, self.reads, self.failures = data, 0, 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def load(self) -> memoryview:
        self.reads += 1
        self.begun.set()
        self.go_on.wait()
        if self.failures:
            self.failures -= 1
            raise OSError(5, "no such luck")
        return memoryview(self.data)


def run_together(hot: HotChunks, disk: Disk, readers: int) -> list[object]:
    got: list[object] = []

    def read() -> None:
        try:
            got.append(bytes(hot.get_or_load(digest(disk.data), disk.load)))
        except OSError as error:
            got.append(error.errno)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    threads[0].start()
    disk.begun.wait()
    for thread in threads[1:]:
        thread.start()
    disk.go_on.set()
    for thread in threads:
        thread.join()
    return got


def test_eight_readers_of_one_chunk_cost_one_read() -> None:
    hot, disk = HotChunks(MIB), Disk(b"abc")
    assert run_together(hot, disk, 8) == [b"abc"] * 8
    assert disk.reads == 1
    assert hot.get(digest(b"abc")) == b"abc"


def test_a_reader_whose_predecessor_failed_tries_for_itself() -> None:
    hot, disk = HotChunks(MIB), Disk(b"abc")
    disk.failures = 1
    assert sorted(run_together(hot, disk, 4), key=str) == [5, b"abc", b"abc", b"abc"]


def test_a_failure_is_not_kept() -> None:
    hot, disk = HotChunks(MIB), Disk(b"abc")
    disk.failures = 1
    disk.go_on.set()
    with pytest.raises(OSError, match="no such luck"):
        hot.get_or_load(digest(b"abc"), disk.load)
    assert hot.get_or_load(digest(b"abc"), disk.load) == b"abc"


def test_what_was_not_used_for_longest_goes_first_and_small_chunks_count_as_the_pages_they_are() -> None:
    hot = HotChunks(32 * KIB)
    for number in range(4):
        data = bytes([number])
        hot.get_or_load(digest(data), lambda data=data: memoryview(data))
    hot.get(digest(b"\0"))
    hot.get_or_load(digest(b"new"), lambda: memoryview(b"new"))
    assert [hot.get(digest(bytes([number]))) is not None for number in range(4)] == [True, False, True, True]
    hot.clear()
    assert hot.get(digest(b"new")) is None
