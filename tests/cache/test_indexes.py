"""Own chunk indexes: known as long as anything is, believed only when whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from tests.cache.material import MIXED, Material, flip, names, raw

PLAIN = Material(MIXED.content, None)  # the same layer, shown as one raw file


def place(root: Path, material: Material = MIXED) -> Path:
    return material.directory(root, "indexes")


def is_kept(cache: Cache, material: Material) -> bool:
    index = cache.index(material.digest)
    if index is None:
        return False
    return (index.layer, index.grid, index.digests, index.table) == (
        material.digest,
        material.grid,
        material.index.digests,
        material.table,
    )


def test_an_index_outlives_the_bytes_it_was_made_from(cache: Cache, root: Path) -> None:
    assert cache.index(MIXED.digest) is None
    MIXED.publish(cache).close()
    cache.drop(MIXED.digest)
    assert is_kept(cache, MIXED)
    assert is_kept(Cache.open(root, min_free_ratio=0), MIXED)
    assert place(root).stat().st_mode & 0o777 == 0o600


def test_an_index_can_be_kept_without_bytes(cache: Cache) -> None:
    cache.keep_index(MIXED.index)
    assert is_kept(cache, MIXED)
    assert cache.layer(MIXED.digest) is None


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def bit_flip(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def of_another_layer(path: Path) -> None:
    path.write_bytes(raw(100).index.encode())


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


@pytest.mark.parametrize("damage", [cut, bit_flip, emptied, longer, of_another_layer, linked, a_directory])
def test_a_damaged_index_is_absence_and_is_made_anew(cache: Cache, root: Path, damage: Callable[[Path], None]) -> None:
    cache.keep_index(MIXED.index)
    damage(place(root))
    assert cache.index(MIXED.digest) is None
    assert not os.path.lexists(place(root))
    assert cache.statistics().damaged == 1
    cache.keep_index(MIXED.index)
    assert is_kept(cache, MIXED)


def test_an_index_with_a_table_is_worth_more_than_one_without(cache: Cache) -> None:
    cache.keep_index(PLAIN.index)
    assert is_kept(cache, PLAIN)
    cache.keep_index(MIXED.index)
    assert is_kept(cache, MIXED)
    cache.keep_index(PLAIN.index)
    assert is_kept(cache, MIXED)


def test_an_index_with_the_digest_of_the_content_is_worth_more_than_one_without(cache: Cache) -> None:
    unknown, known = (
        ChunkIndex(
            Digest.of(b"stored"), MIXED.grid, MIXED.index.digests, MIXED.table, compression="gzip", stored_bytes=6, diff_id=diff_id
        )
        for diff_id in (None, MIXED.digest)
    )
    for index, kept in ((unknown, None), (known, MIXED.digest), (unknown, MIXED.digest)):
        cache.keep_index(index)
        found = cache.index(index.layer)
        assert found is not None
        assert found.diff_id == kept


def test_an_index_that_is_kept_is_not_written_again(cache: Cache, root: Path) -> None:
    cache.keep_index(MIXED.index)
    before = place(root).stat().st_ino
    cache.keep_index(MIXED.index)
    assert place(root).stat().st_ino == before


def test_garbage_in_its_place_is_replaced_when_the_layer_is_published(cache: Cache, root: Path) -> None:
    place(root).mkdir(parents=True)
    MIXED.publish(cache)
    assert is_kept(cache, MIXED)


@pytest.mark.logs("cannot keep the chunk index")
def test_a_failing_disk_is_told_once_and_the_layer_stays(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "indexes" / "sha256").mkdir(mode=0o700)
    real = os.rename

    def fails(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if os.path.samestat(os.fstat(dst_dir_fd), (root / "indexes" / "sha256").stat()):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails)
        stored = MIXED.publish(cache)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert cache.index(MIXED.digest) is None
    assert names(root / "staging") == []
