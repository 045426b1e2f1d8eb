"""Verify and scrub: each kind of damage is found before anybody reads it, and is gone afterwards; what is right stays."""

import itertools
import os
from pathlib import Path

import pytest

from mkfs.cache.scrub import VerifyReport
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.cache.stored_file import stored_name
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import prove
from mkfs.units import MIB
from tests.cache.material import MIXED, drop_pages, flip, names, raw
from tests.cache.test_evict import is_there

BLOB = Descriptor("application/json", Digest.of(b"{}"), 2)
OTHER = raw(3 * MIB)
REFERENCE = Reference.parse("registry.test/a/b:1")


@pytest.fixture
def full(cache: Cache) -> Cache:
    """A bit of everything, in order."""
    MIXED.publish(cache).close()
    cache.keep_index(OTHER.index)
    partial = cache.partial(OTHER.index)
    for number in (0, 2):
        partial.put(number, OTHER.chunk(number))
    partial.close()
    cache.keep_document(prove(BLOB, b"{}"))
    cache.grants.grant("registry.test", "a/b", MIXED.digest)
    return cache


def verify(cache: Cache) -> VerifyReport:
    return cache.verify(lambda _size_bytes: None)


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


def chunks_in(name: str, offsets: range) -> list[int]:
    """The chunks of MIXED that have a byte in that part of a stored file."""
    found = []
    for number in range(MIXED.grid.count):
        file, start = MIXED.grid.place(number)
        stop = start + MIXED.grid.chunk_range(number).length
        if stored_name(file) == name and start < offsets.stop and offsets.start < stop:
            found.append(number)
    return found


def test_what_is_right_is_hashed_and_stays(full: Cache) -> None:
    told: list[int] = []
    report = full.verify(told.append)
    assert report.damage == ()
    assert report.checked == {"layers": 1, "partial": 1, "indexes": 2, "documents": 1, "grants": 1}
    assert report.checked_bytes == sum(told) >= len(MIXED.content) + 2 * MIB
    assert is_there(full, MIXED)
    assert full.partial(OTHER.index).missing(range(3)) == [1]


def test_looking_is_no_use(full: Cache, root: Path) -> None:
    places = [MIXED.directory(root), OTHER.directory(root, "partial"), OTHER.directory(root, "indexes")]
    for place in places:
        os.utime(place, (1000, 1000))
    verify(full)
    assert [place.stat().st_mtime for place in places] == [1000, 1000, 1000]


@pytest.mark.parametrize("file", ["rest", "1", "2"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "zeros", "missing", "longer"])
def test_damage_to_any_file_of_a_layer_is_found_and_only_its_chunks_are_gone(full: Cache, root: Path, file: str, harm: str) -> None:
    path = MIXED.directory(root) / file
    size_bytes = path.stat().st_size
    match harm:
        case "flip":
            flip(path, size_bytes - 600)
        case "truncate":
            os.truncate(path, size_bytes - 1)
        case "zeros":
            os.truncate(path, size_bytes - 5000)
            os.truncate(path, size_bytes)
        case "missing":
            path.unlink()
        case "longer":
            os.truncate(path, size_bytes + 1)
    drop_pages(MIXED.directory(root))
    report = verify(full)
    assert {(damage.kind, damage.name) for damage in report.damage} == {("layers", str(MIXED.digest))}
    assert all(damage.what for damage in report.damage)
    assert not is_there(full, MIXED)
    harmed = {"flip": range(size_bytes - 600, size_bytes - 599), "zeros": range(size_bytes - 5000, size_bytes)}
    lost = chunks_in(file, harmed.get(harm, range(size_bytes)))
    missing = full.partial(MIXED.index).missing(range(MIXED.grid.count))
    assert missing == lost
    assert len(report.damage) == (len(lost) if harm in harmed else 1)
    assert report.checked_bytes >= sum(MIXED.grid.chunk_range(n).length for n in range(MIXED.grid.count) if n not in missing)
    assert report.checked["layers"] == 1
    assert names(root / "staging") == []
    assert full.statistics().damaged >= 1
    assert verify(full).damage == ()


def test_a_damaged_index_beside_a_layer_costs_none_of_its_chunks_where_it_is_kept_twice(full: Cache, root: Path) -> None:
    flip(MIXED.directory(root) / "index", 80)
    (damage,) = verify(full).damage
    assert "index is damaged" in damage.what
    assert full.partial(MIXED.index).missing(range(MIXED.grid.count)) == []


def test_a_layer_whose_index_is_lost_altogether_is_removed(full: Cache, root: Path) -> None:
    MIXED.directory(root, "indexes").unlink()
    flip(MIXED.directory(root) / "index", 80)
    (damage,) = verify(full).damage
    assert (damage.kind, damage.name) == ("layers", str(MIXED.digest))
    assert not MIXED.directory(root).exists()
    assert not MIXED.directory(root, "partial").exists()


def test_a_damaged_chunk_is_missing_afterwards_and_the_others_stay(full: Cache, root: Path) -> None:
    flip(OTHER.directory(root, "partial") / "1", 2 * MIB + 5)
    drop_pages(OTHER.directory(root, "partial"))
    (damage,) = verify(full).damage
    assert (damage.kind, damage.name) == ("partial", str(OTHER.digest))
    assert "chunk 2" in damage.what
    assert full.partial(OTHER.index).missing(range(3)) == [1, 2]


def test_a_ledger_of_something_else_drops_the_chunks(full: Cache, root: Path) -> None:
    flip(OTHER.directory(root, "partial") / "ledger", 20)
    (damage,) = verify(full).damage
    assert damage.kind == "partial"
    assert not OTHER.directory(root, "partial").exists()


@pytest.mark.parametrize("kind", ["indexes", "documents", "grants", "resolutions"])
@pytest.mark.parametrize("harm", ["flip", "empty", "foreign", "link"])
def test_damage_to_any_small_file_is_found_and_it_is_removed(full: Cache, root: Path, kind: str, harm: str) -> None:
    full.resolutions.remember(REFERENCE, prove(BLOB, b"{}"), "application/json", 1)
    path = {
        "indexes": MIXED.directory(root, "indexes"),
        "documents": root / "documents" / "sha256" / BLOB.digest.hex,
        "grants": only_file(root / "grants"),
        "resolutions": next((root / "resolutions").iterdir()),
    }[kind]
    match harm:
        case "flip":
            flip(path, 1)
        case "empty":
            os.truncate(path, 0)
        case "foreign":
            path.write_bytes(b"something else entirely")
        case "link":
            path.unlink()
            path.symlink_to(root / "version")
    (damage,) = verify(full).damage
    assert damage.kind == kind
    assert damage.name in {path.name, f"sha256:{path.name}"}
    assert not os.path.lexists(path)
    assert (root / "version").exists()


def test_a_whole_record_in_the_place_of_another_is_found(full: Cache, root: Path) -> None:
    path = only_file(root / "grants")
    path.rename(path.with_name("0" * 64))
    (damage,) = verify(full).damage
    assert (damage.kind, damage.name) == ("grants", "0" * 64)


def test_what_is_evicted_while_it_is_verified_is_no_damage(cache: Cache) -> None:
    large = raw(40 * MIB)
    large.publish(cache).close()
    steps = cache.scrub()
    assert steps is not None
    first = next(step for step in steps if step.kind == "layers")
    assert not first.finished
    cache.drop(large.digest)
    assert [damage for step in steps for damage in step.damage] == []


def test_between_two_steps_nothing_is_pinned(cache: Cache) -> None:
    raw(40 * MIB).publish(cache).close()
    steps = cache.scrub()
    assert steps is not None
    assert not next(step for step in steps if step.kind == "layers").finished
    assert not cache.usage().layers[0].pinned


def test_one_process_scrubs_at_a_time(cache: Cache, root: Path) -> None:
    other = Cache.open(root, min_free_ratio=0)
    steps = cache.scrub()
    assert steps is not None
    assert other.scrub() is None
    for _ in itertools.islice(steps, 1):
        pass
    del steps
    assert other.scrub() is not None


def test_a_file_that_went_in_the_middle_of_a_step_is_no_damage_either(full: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def evicted(_layer: StoredLayer, _number: int) -> None:
        full.drop(MIXED.digest)
        raise Damaged("cache is damaged: No such file or directory")

    monkeypatch.setattr(StoredLayer, "verify", evicted)
    assert verify(full).damage == ()
