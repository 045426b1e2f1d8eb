"""Claims: what a sweeper may take away, and what happens to a maker whom it met halfway."""

import os
import socket
from pathlib import Path

import pytest

from mkfs.cache import claims
from mkfs.cache.claims import claim_directory, claim_file, sweep
from mkfs.cache.files import OpenFile
from tests.cache.material import names


@pytest.fixture
def staging(tmp_path: Path) -> OpenFile:
    (tmp_path / "staging").mkdir()
    return OpenFile(os.open(tmp_path / "staging", os.O_RDONLY))


def test_a_claim_stays_while_it_is_held_and_goes_when_it_is_not(staging: OpenFile, tmp_path: Path) -> None:
    held, left = claim_directory(staging), claim_file(staging)
    (tmp_path / "staging" / held.name / "deep").mkdir()
    assert sweep(staging) == 0
    del left
    assert sweep(staging) == 1
    assert names(tmp_path / "staging") == [held.name]
    del held
    assert sweep(staging) == 1
    assert names(tmp_path / "staging") == []


def test_things_that_are_not_ours_are_swept_and_what_they_point_to_is_not(staging: OpenFile, tmp_path: Path) -> None:
    here = tmp_path / "staging"
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (here / "link").symlink_to(tmp_path / "precious")
    (here / "file").touch()
    (here / "directory").mkdir()
    (here / "directory" / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(here / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(here / "socket"))
    assert sweep(staging) == 5
    assert names(here) == []
    assert names(tmp_path / "precious") == ["file"]


@pytest.mark.parametrize("claim", [claim_directory, claim_file])
def test_a_maker_whose_entry_was_swept_before_it_was_locked_starts_again(staging: OpenFile, monkeypatch, claim) -> None:
    flock, calls = claims.fcntl.flock, []

    def late(fd: int, operation: int) -> None:
        calls.append(fd)
        if len(calls) == 1:  # a sweeper is faster: it locks and removes what this maker has just made
            assert sweep(staging) == 1
        flock(fd, operation)

    monkeypatch.setattr(claims.fcntl, "flock", late)
    made = claim(staging)
    monkeypatch.undo()
    assert len(calls) == 3  # the maker's, the sweeper's, the maker's second
    assert names(Path(f"/proc/self/fd/{staging.fd}")) == [made.name]
    assert sweep(staging) == 0


def test_a_maker_that_always_loses_gives_up(staging: OpenFile, monkeypatch) -> None:
    def taken(_fd: int, _operation: int) -> None:
        raise BlockingIOError

    monkeypatch.setattr(claims.fcntl, "flock", taken)
    with pytest.raises(BlockingIOError, match="could not keep"):
        claim_file(staging)


def test_where_there_are_no_locks_nothing_is_swept(staging: OpenFile, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "staging" / "somebodys").mkdir()

    def unsupported(_fd: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(claims.fcntl, "flock", unsupported)
    assert sweep(staging) == 0
    assert names(tmp_path / "staging") == ["somebodys"]
