"""Staging of what grows: as private and as whole as any other, and no more is evicted for it than it turns out to need."""

import os
from pathlib import Path

import pytest

from mkfs.cache.growing import GrowingStaging
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged
from mkfs.errors import CacheUnusable
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.units import KIB, MIB
from tests.cache.conftest import Mount
from tests.cache.material import MIXED, Material, archive, flip, names, raw
from tests.cache.test_evict import OVERHEAD, bounded, is_there, layers, old
from tests.cache.test_staging import open_for_writing

STORED = Digest.of(b"MIXED as it is stored, compressed")
INDEX = ChunkIndex(STORED, MIXED.grid, MIXED.index.digests, MIXED.table, compression="gzip", stored_bytes=33)


def grow(staging: GrowingStaging, material: Material = MIXED, step_bytes: int = 700 * KIB + 3) -> None:
    """Adds the layer's content in order."""
    for piece in material.whole.pieces(step_bytes):
        for span in material.grid.spans(piece):
            staging.append(span.file, material.part(span.range))


def test_it_appears_whole_and_stored_as_any_other(cache: Cache, root: Path) -> None:
    staging = cache.stage_growing(STORED)
    grow(staging)
    assert staging.size_bytes == len(MIXED.content)
    assert cache.layer(STORED) is None
    stored = staging.publish(INDEX)
    assert open_for_writing(root) == []
    assert names(root / "staging") == []
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    MIXED.publish(cache)
    as_always, grown = MIXED.directory(root), root / "layers" / "sha256" / STORED.hex
    assert names(grown) == names(as_always) == ["1", "2", "index", "rest"]
    assert all((grown / name).read_bytes() == (as_always / name).read_bytes() for name in ("1", "2", "rest"))
    found = cache.layer(STORED)
    assert found is not None
    assert (found.index.compression, found.index.stored_bytes, found.index.table) == ("gzip", 33, MIXED.table)
    assert cache.index(STORED) is not None


def test_what_this_process_received_need_not_be_read_back(cache: Cache) -> None:
    if cache.abilities.page_cache is None:
        pytest.skip("needs a file system whose page cache can be asked")
    staging = cache.stage_growing(STORED)
    grow(staging)
    stored = staging.publish(INDEX)
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert cache.statistics().hashed_chunks == 0


def test_it_is_verified_as_any_other(cache: Cache, root: Path) -> None:
    staging = cache.stage_growing(STORED)
    grow(staging)
    staging.publish(INDEX).close()
    assert cache.verify(lambda _count: None).damage == ()
    flip(root / "layers" / "sha256" / STORED.hex / "1", 5000)
    assert [(each.kind, each.name) for each in cache.verify(lambda _count: None).damage] == [("layers", str(STORED))]


def test_an_empty_layer_is_a_layer(cache: Cache) -> None:
    empty = raw(0)
    index = ChunkIndex(STORED, empty.grid, b"", None, compression="zstd", stored_bytes=0)
    assert bytes(cache.stage_growing(STORED).publish(index).read(empty.whole)) == b""
    assert cache.layer(STORED) is not None


def test_discarding_leaves_nothing_and_ends_it(cache: Cache, root: Path) -> None:
    staging = cache.stage_growing(STORED)
    grow(staging)
    staging.discard()
    staging.discard()
    assert names(root / "staging") == []
    with pytest.raises(ValueError, match="has ended"):
        staging.append(0, b"x")
    with pytest.raises(ValueError, match="has ended"):
        staging.publish(INDEX)


def test_a_dead_owner_leaves_it_to_the_next_sweep(cache: Cache, root: Path) -> None:
    staging = cache.stage_growing(STORED)
    grow(staging)
    Cache.open(root).close()
    assert len(names(root / "staging")) == 1
    del staging
    Cache.open(root).close()
    assert names(root / "staging") == []


def test_an_index_of_something_else_publishes_nothing(cache: Cache) -> None:
    staging = cache.stage_growing(STORED)
    grow(staging)
    for other in (MIXED.index, ChunkIndex(STORED, raw(MIB).grid, bytes(32), None, compression="gzip", stored_bytes=33)):
        with pytest.raises(ValueError, match="not that of this staging"):
            staging.publish(other)
    assert MIXED.is_right(MIXED.whole, staging.publish(INDEX).read(MIXED.whole))


def test_what_cannot_fit_is_refused_as_soon_as_that_is_known(mounted: Mount) -> None:
    root = mounted("tmpfs", "size=5m,mode=0700")
    cache = Cache.open(root, min_free_ratio=0)
    with pytest.raises(CacheUnusable, match=r"a layer decompresses to 9\.0 MiB at least; 9\.0 MiB needed, 5\.0 MiB free") as caught:
        cache.stage_growing(STORED, 9 * MIB)
    assert caught.value.exit_code == 23
    assert names(root / "staging") == []
    staging = cache.stage_growing(STORED, MIB)
    large = archive(9 * MIB)
    with pytest.raises(CacheUnusable, match=r"a layer decompresses to 5\.\d MiB at least; \d") as caught:
        grow(staging, large)
    assert staging.size_bytes > 4 * MIB
    assert str(STORED) in caught.value.where
    staging.discard()
    assert names(root / "staging") == []
    assert raw(4 * MIB).publish(cache) is not None


def test_a_disk_that_fails_is_said_to_fail(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = cache.stage_growing(STORED)

    def fails(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fails)
        with pytest.raises(CacheUnusable, match=r"no room in the cache: 1000 B needed \(No space left"):
            staging.append(0, bytes(1000))
    staging.discard()
    assert names(root / "staging") == []


def test_others_are_evicted_only_as_it_grows(root: Path) -> None:
    cache = bounded(root, 8 * MIB + OVERHEAD)
    first, second, third = layers(3, 2 * MIB)
    for age, each in ((30, second), (90, first), (60, third)):
        each.publish(cache).close()
        old(each, root, age)
    staging = cache.stage_growing(STORED)
    staging.append(1, bytes(MIB // 2))
    assert [is_there(cache, each) for each in (first, second, third)] == [True, True, True]
    for _ in range(3):
        staging.append(1, bytes(MIB // 2))
    assert [is_there(cache, each) for each in (first, second, third)] == [False, True, True]
    with pytest.raises(CacheUnusable, match="decompresses to"):
        staging.expect(9 * MIB)
    assert [is_there(cache, each) for each in (first, second, third)] == [False, True, True]
    staging.discard()


def test_a_small_layer_needs_little_room(root: Path) -> None:
    cache = bounded(root, 2 * MIB)
    staging = cache.stage_growing(STORED)
    small = raw(1000)
    grow(staging, small)
    index = ChunkIndex(STORED, small.grid, small.index.digests, None, compression="gzip", stored_bytes=33)
    assert small.is_right(small.whole, staging.publish(index).read(small.whole))


def test_of_two_who_publish_the_same_the_second_takes_what_the_first_has(cache: Cache) -> None:
    one, two = cache.stage_growing(STORED), cache.stage_growing(STORED)
    grow(one)
    grow(two)
    first, second = one.publish(INDEX), two.publish(INDEX)
    assert os.path.samestat(first.identity, second.identity)


@pytest.mark.parametrize("compressed_first", [True, False])
def test_a_blob_in_its_two_forms_is_never_taken_for_the_other(cache: Cache, root: Path, *, compressed_first: bool) -> None:
    """One artifact has it as a plain file, the other as an archive: both are cached under the digest of the blob."""
    plain = raw(2 * MIB)
    index = ChunkIndex(plain.digest, MIXED.grid, MIXED.index.digests, MIXED.table, compression="gzip", stored_bytes=2 * MIB)

    def publish(compressed: bool) -> None:
        if not compressed:
            plain.publish(cache).close()
            return
        staging = cache.stage_growing(plain.digest)
        grow(staging)
        staging.publish(index).close()

    publish(compressed_first)
    earlier = cache.layer(plain.digest)
    assert earlier is not None
    publish(not compressed_first)
    with pytest.raises(Damaged):
        earlier.read((MIXED if compressed_first else plain).whole)
    found, kept = cache.layer(plain.digest), cache.index(plain.digest)
    assert found is not None
    assert kept is not None
    assert found.index.compression == kept.compression == ("" if compressed_first else "gzip")
    wanted = plain if compressed_first else MIXED
    assert wanted.is_right(wanted.whole, found.read(wanted.whole))
    assert names(root / "staging") == []
