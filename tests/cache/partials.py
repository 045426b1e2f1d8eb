"""A layer stored chunk by chunk, for the tests: MIXED, its chunks, and its ledger's lies."""

from pathlib import Path

from mkfs.cache.partial import PartialLayer
from mkfs.cache.store import Cache
from tests.cache.material import MIXED, Material

ALL = range(MIXED.grid.count)
LEDGER_HEAD_BYTES = 14 + 32
SECOND = MIXED.grid.chunk_range(2)  # of file 1, from its first MiB on


def fill(partial: PartialLayer, *numbers: int, material: Material = MIXED) -> PartialLayer:
    for number in numbers or ALL:
        partial.put(number, material.chunk(number))
    return partial


def forget(cache: Cache) -> None:
    """Takes hot chunks away, so that the next read goes to the page cache or the disk."""
    cache._shared.hot.clear()


def place(root: Path) -> Path:
    return MIXED.directory(root, "partial")


def note(root: Path, number: int, state: bytes) -> None:
    """Makes the ledger say something about a chunk."""
    with (place(root) / "ledger").open("r+b") as file:
        file.seek(LEDGER_HEAD_BYTES + number)
        file.write(state)
