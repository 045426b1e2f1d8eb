"""What an operator asks of the cache: the numbers add up, prune leaves no leftovers, clear leaves what is read."""

import subprocess
import time
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import prove
from mkfs.units import MIB
from tests.cache.material import MIXED, names, raw
from tests.cache.test_evict import bounded, is_there, occupied, old
from tests.cache.workers import Start

BLOB = Descriptor("application/json", Digest.of(b"{}"), 2)


def fill(cache: Cache) -> None:
    """A bit of everything."""
    MIXED.publish(cache).close()
    other = raw(3 * MIB)
    cache.keep_index(other.index)
    partial = cache.partial(other.index)
    partial.put(1, other.chunk(1))
    partial.close()
    cache.keep_document(prove(BLOB, b"{}"))
    cache.grants.grant("registry.test", "a/b", MIXED.digest)
    cache.lock(MIXED.digest).bump()


def test_the_numbers_add_up_to_what_du_says(cache: Cache, root: Path) -> None:
    fill(cache)
    staging = cache.stage(raw(MIB, 7).blob, raw(MIB, 7).grid)
    usage = cache.usage()
    assert usage.total.size_bytes == occupied(root)
    assert usage.total.inodes == len([root, *root.rglob("*")])
    layers = sum(row.item.size_bytes for row in usage.layers)
    parts = (usage.documents, usage.indexes, usage.staging, usage.other)
    assert layers + sum(part.size_bytes for part in parts) == usage.total.size_bytes
    assert usage.staging.size_bytes >= MIB
    assert (usage.documents.inodes, usage.indexes.inodes) == (1, 2)
    sizes = {row.item.digest: row.item.size_bytes for row in usage.layers}
    assert sizes[MIXED.digest] >= len(MIXED.content)
    assert MIB <= sizes[raw(3 * MIB).digest] < 2 * MIB  # one chunk of three
    staging.discard()


def test_usage_says_who_is_read_and_when_last(cache: Cache, root: Path, start: Start) -> None:
    fill(cache)
    old(MIXED, root, 3600)
    worker = start()
    assert worker.ask("hold") == "held"
    recent, older = cache.usage().layers
    assert (recent.item.digest, recent.pinned) == (raw(3 * MIB).digest, False)
    assert (older.item.digest, older.pinned) == (MIXED.digest, True)
    assert 3600 <= (time.time_ns() - older.item.used_ns) / 1e9 < 3700
    worker.kill()
    assert not any(row.pinned for row in cache.usage().layers)


def test_asking_does_not_make_a_reader_miss_its_layer(cache: Cache) -> None:
    MIXED.publish(cache).close()
    cache.usage()
    assert is_there(cache, MIXED)


def test_prune_brings_the_cache_down_to_its_limits_but_not_what_is_read(root: Path) -> None:
    generous = Cache.open(root, min_free_ratio=0)
    held = raw(MIB, 1).publish(generous)
    for seed in range(2, 6):
        raw(MIB, seed).publish(generous).close()
        old(raw(MIB, seed), root, 100 - seed)
    report = bounded(root, 3 * MIB).prune()
    assert [item.digest for item in report.evicted] == [raw(MIB, 2).digest, raw(MIB, 3).digest, raw(MIB, 4).digest]
    assert report.freed.size_bytes >= 3 * MIB
    assert occupied(root) <= 3 * MIB
    assert bounded(root, 0).prune().evicted
    assert raw(MIB, 1).is_right(raw(MIB, 1).whole, held.read(raw(MIB, 1).whole))


def test_prune_removes_layers_that_nobody_read_for_long(cache: Cache, root: Path) -> None:
    fill(cache)
    old(MIXED, root, 7200)
    report = cache.prune(time.time_ns() - 3600 * 10**9)
    assert [item.digest for item in report.evicted] == [MIXED.digest]
    assert cache.index(MIXED.digest) is not None
    assert cache.document(BLOB) is not None
    assert cache.prune().evicted == ()


def test_prune_removes_what_the_dead_left_and_what_nobody_needs(cache: Cache, root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("stage") == "staged"
    worker.kill()
    foreign, twice = raw(2 * MIB, 5), raw(2 * MIB, 6)  # the first was stored under a chunk index that came with the artifact
    for each in (foreign, twice):
        partial = cache.partial(each.index)
        partial.put(0, each.chunk(0))
        partial.close()
    cache.keep_index(twice.index)
    other = Cache.open(root / "other", min_free_ratio=0)
    twice.publish(other).close()
    (root / "layers" / "sha256").mkdir(mode=0o700, exist_ok=True)
    (root / "other" / "layers" / "sha256" / twice.digest.hex).rename(twice.directory(root))
    cache.lock(Digest.of(b"long gone")).bump()
    subprocess.run(["rm", "-r", root / "other"], check=True)
    assert cache.prune().leftovers >= 3  # the staging, the partial layer, locks
    assert names(root / "staging") == []
    assert [ledger.parent.name for ledger in (root / "partial").rglob("ledger")] == [foreign.digest.hex]
    assert Digest.of(b"long gone").hex not in names(root / "locks" / "sha256")
    assert is_there(cache, twice)


def test_prune_removes_records_of_what_is_gone_and_no_others(cache: Cache, root: Path) -> None:
    fill(cache)
    known, gone = Reference.parse("registry.test/a/b:1"), Reference.parse("registry.test/a/b:2")
    cache.resolutions.remember(known, prove(BLOB, b"{}"), "application/json", 1)
    other = Descriptor("application/json", Digest.of(b"[]"), 2)
    cache.resolutions.remember(gone, prove(other, b"[]"), "application/json", 1)
    (root / "documents" / "sha256" / other.digest.hex).unlink()
    for digest in (BLOB.digest, raw(3 * MIB).digest, other.digest):
        cache.grants.grant("registry.test", "a/b", digest)
    (root / "grants" / ("0" * 64)).write_bytes(b"garbage")
    (root / "grants" / ("1" * 64)).symlink_to(root / "version")
    assert cache.prune().leftovers == 5  # two that mean the manifest that is gone, its grant, and the garbage
    for digest in (MIXED.digest, BLOB.digest, raw(3 * MIB).digest):
        assert cache.grants.granted("registry.test", "a/b", digest) is not None
    assert len(names(root / "grants")) == 3
    assert cache.resolutions.recall(known) is not None
    assert len(names(root / "resolutions")) == 2
    assert (root / "version").exists()


def test_a_lock_that_somebody_holds_is_no_leftover(cache: Cache, root: Path, start: Start) -> None:
    worker = start()
    assert worker.ask("lock_layer") == "True"
    cache.prune()
    assert names(root / "locks" / "sha256") == [MIXED.digest.hex]
    worker.kill()
    cache.prune()
    assert names(root / "locks" / "sha256") == []


def test_clear_leaves_nothing_but_what_is_read(cache: Cache, root: Path, start: Start) -> None:
    fill(cache)
    worker = start()
    assert worker.ask("hold") == "held"
    report = cache.clear()
    assert [item.digest for item in report.kept] == [MIXED.digest]
    assert {item.kind.value for item in report.removed} == {"partial", "documents", "indexes"}
    assert report.freed.size_bytes >= MIB
    assert worker.ask("held_is") == "right"
    assert cache.index(MIXED.digest) is not None
    assert not cache.grants.granted("registry.test", "a/b", MIXED.digest)
    worker.kill()
    assert cache.clear().kept == ()
    assert {path for path in root.rglob("*") if path.is_file()} == {root / "version", root / "CACHEDIR.TAG"}


@pytest.mark.parametrize("verb", ["usage", "prune", "clear"])
def test_a_disk_that_fails_is_an_error_with_its_reason(cache: Cache, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    def fails(*_arguments: object) -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("mkfs.cache.survey.os.listdir", fails)
    with pytest.raises(CacheUnusable, match="cannot be read: Input/output error"):
        getattr(cache, verb)()
