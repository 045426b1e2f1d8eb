"""No room, no inodes, a failing disk: an error before the first byte, nothing left behind, and reads go on."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.proven import prove
from tests.cache.conftest import Mount
from tests.cache.material import MIXED, archive, names, raw, samples


def test_on_tmpfs_every_answer_is_hashed_and_right(mounted: Mount) -> None:
    cache = Cache.open(mounted("tmpfs", "size=16m,mode=0700"), min_free_ratio=0)
    assert cache.abilities.page_cache is None
    stored = MIXED.publish(cache)
    assert stored.read_now(MIXED.whole) is None
    for wanted in samples(MIXED):
        assert MIXED.is_right(wanted, stored.read(wanted))
    cache._shared.hot.clear()
    assert stored.read_now(MIXED.whole) is None


def test_a_layer_that_does_not_fit_is_refused_before_the_first_byte(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=5m,mode=0700")
    cache = Cache.open(root, min_free_ratio=0)
    stored = MIXED.publish(cache)
    other = raw(3 * 1024 * 1024)
    with pytest.raises(CacheUnusable, match=r"no room in the cache: 3\.0 MiB needed, 1\.\d MiB free") as caught:
        cache.stage(other.blob, other.grid)
    assert caught.value.exit_code == 23
    assert str(other.digest) in caught.value.where
    assert names(root / "staging") == []
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    cache.drop(MIXED.digest)
    stored.close()
    assert other.is_right(other.whole, other.publish(cache).read(other.whole))


def test_a_share_of_the_disk_stays_free(mounted: Mount) -> None:
    cache = Cache.open(mounted("tmpfs", "size=4m,mode=0700"), min_free_ratio=0.2)
    with pytest.raises(CacheUnusable, match=r"819\.2 KiB stay free"):
        MIXED.publish(cache)


def test_inodes_count_as_well(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=64m,nr_inodes=24,mode=0700")
    cache = Cache.open(root, min_free_ratio=0)
    many = archive(*[1024 * 1024] * 20)
    with pytest.raises(CacheUnusable, match=r"2[23] inodes needed"):
        cache.stage(many.blob, many.grid)
    assert names(root / "staging") == []
    assert MIXED.is_right(MIXED.whole, MIXED.publish(cache).read(MIXED.whole))


def test_a_full_disk_keeps_no_document_and_says_nothing(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=4m,mode=0700")
    cache = Cache.open(root, min_free_ratio=0)
    stored = MIXED.publish(cache)
    data = bytes(1024 * 1024)
    blob = Descriptor("application/json", Digest.of(data), len(data))
    cache.keep_document(prove(blob, data))
    assert cache.document(blob) is None
    assert names(root / "staging") == []
    stored.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["mkdir", "posix_fallocate", "pwrite", "rename"])
def test_whatever_fails_while_receiving_leaves_nothing_behind(
    cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fails(*_arguments: object, **_keywords: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(CacheUnusable) as caught:
            MIXED.publish(cache)
    assert caught.value.where
    assert caught.value.hint
    room = code in {errno.ENOSPC, errno.EDQUOT}
    assert ("no room in the cache: 3.6 MiB needed" in caught.value.what) is room
    assert cache.layer(MIXED.digest) is None
    Cache.open(root).close()
    assert names(root / "staging") == []
    assert MIXED.is_right(MIXED.whole, MIXED.publish(cache).read(MIXED.whole))


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_where_room_cannot_be_reserved_files_grow_as_bytes_come(cache: Cache, monkeypatch, code: int) -> None:
    def unsupported(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    assert MIXED.is_right(MIXED.whole, MIXED.publish(cache).read(MIXED.whole))


@pytest.mark.logs("cannot remove layer")
def test_a_disk_that_refuses_to_remove_a_layer_is_logged(cache: Cache, monkeypatch) -> None:
    MIXED.publish(cache)

    def fails(*_arguments: object, **_keywords: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails)
        cache.drop(MIXED.digest)
    assert cache.layer(MIXED.digest) is not None


def test_a_cache_on_a_disk_that_became_read_only_still_serves(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=16m,mode=0700")
    MIXED.publish(Cache.open(root, min_free_ratio=0)).close()
    subprocess.run(["mount", "-o", "remount,ro", root], check=True)
    cache = Cache.open(root)
    stored = cache.layer(MIXED.digest)
    assert stored is not None
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    with pytest.raises(CacheUnusable):
        cache.stage(raw(100).blob, raw(100).grid)
