"""The ledger: a byte for each chunk, and none beside them."""

import os
from pathlib import Path

import pytest

from mkfs.cache.files import OpenFile
from mkfs.cache.ledger import NAME, Ledger, empty_ledger
from tests.cache.material import MIXED


def test_no_chunk_beside_those_of_the_layer_is_noted(tmp_path: Path) -> None:
    empty, count = empty_ledger(MIXED.index), MIXED.grid.count
    path = tmp_path / NAME
    path.write_bytes(empty)
    ledger = Ledger(OpenFile(os.open(path, os.O_RDWR)), count, mending=False)
    for number in (-1, count, count + 1):
        with pytest.raises(IndexError):
            ledger.set(number, stored=True)
    assert path.read_bytes() == empty
    ledger.set(0, stored=True)
    ledger.set(count - 1, stored=True)
    assert ledger.missing(range(count)) == list(range(1, count - 1))
    ledger.set(0, stored=False)
    assert ledger.missing(range(count)) == list(range(count - 1))
    assert len(path.read_bytes()) == len(empty)
