"""A crowd of readers notices what one reader notices."""

from pathlib import Path

import pytest

from tests.faults.crowd import Crowd
from tests.faults.oracle import WrongByte

RIGHT = bytes(range(256)) * 4096  # eight blocks


@pytest.mark.parametrize("readers", [1, 12])
def test_right_bytes_are_no_error(tmp_path: Path, readers: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(RIGHT)
    crowd = Crowd.reading(path, RIGHT, readers, tmp_path)
    assert crowd.errors() == {}
    assert not crowd.waits()


@pytest.mark.parametrize("read", [RIGHT[:-1] + b"x", RIGHT[:-1]], ids=["another byte", "shorter"])
def test_a_wrong_byte_is_noticed(tmp_path: Path, read: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(read)
    with pytest.raises(WrongByte, match="at 917504"):
        Crowd.reading(path, RIGHT, 4, tmp_path).errors()


def test_errors_are_counted_by_reader(tmp_path: Path) -> None:
    assert Crowd.reading(tmp_path / "nothing", RIGHT, 3, tmp_path).errors() == {"ENOENT": 3}
