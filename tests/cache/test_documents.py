"""Small documents: kept as a favour, hashed whenever they are read."""

import hashlib
from pathlib import Path

import pytest

from mkfs.cache import documents
from mkfs.cache.store import Cache
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.proven import Proven, prove
from tests.cache.material import flip, names

DATA = b'{"schemaVersion": 2}' * 100
BLOB = Descriptor("application/json", Digest.of(DATA), len(DATA))


@pytest.fixture
def kept(cache: Cache, root: Path) -> Path:
    cache.keep_document(prove(BLOB, DATA))
    return root / "documents" / "sha256" / BLOB.digest.hex


def test_a_document_comes_back_proven_in_this_life_and_the_next(cache: Cache, root: Path, kept: Path) -> None:
    for daemon in (cache, Cache.open(root)):
        proven = daemon.document(BLOB)
        assert isinstance(proven, Proven)
        assert (proven.data, proven.digest) == (DATA, BLOB.digest)
        assert daemon.statistics().documents == 1
    assert names(root / "staging") == []


def test_what_was_never_kept_is_absent(cache: Cache) -> None:
    assert cache.document(BLOB) is None
    assert cache.statistics().damaged == 0


def test_an_empty_document_is_a_document(cache: Cache) -> None:
    empty = Descriptor("application/json", Digest.of(b""), 0)
    cache.keep_document(prove(empty, b""))
    assert cache.document(empty) is not None


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "longer", "link", "directory"])
def test_damage_is_absence_and_is_removed(cache: Cache, kept: Path, damage: str) -> None:
    match damage:
        case "flip":
            flip(kept, 1000)
        case "truncate":
            kept.write_bytes(DATA[:-1])
        case "empty":
            kept.write_bytes(b"")
        case "longer":
            kept.write_bytes(DATA + b"\0")
        case "link":
            kept.rename(kept.parent / "elsewhere")
            kept.symlink_to("elsewhere")
        case "directory":
            kept.unlink()
            (kept / "deep").mkdir(parents=True)
    assert cache.document(BLOB) is None
    assert cache.statistics().damaged == 1
    assert BLOB.digest.hex not in names(kept.parent)
    cache.keep_document(prove(BLOB, DATA))
    assert cache.document(BLOB) is not None


def test_a_descriptor_with_another_size_gets_nothing(cache: Cache, kept: Path) -> None:
    assert cache.document(Descriptor(BLOB.media_type, BLOB.digest, BLOB.size_bytes + 1)) is None


def test_large_blobs_are_layers_not_documents(cache: Cache, root: Path) -> None:
    data = bytes(documents.LIMIT_BYTES + 1)
    blob = Descriptor("application/octet-stream", Digest.of(data), len(data))
    cache.keep_document(prove(blob, data))
    assert cache.document(blob) is None
    assert list((root / "documents").rglob("*")) == []


def test_sha512_has_a_place_of_its_own(cache: Cache, root: Path) -> None:
    digest = Digest("sha512", hashlib.sha512(DATA).hexdigest())
    blob = Descriptor("application/json", digest, len(DATA))
    cache.keep_document(prove(blob, DATA))
    assert cache.document(blob) is not None
    assert (root / "documents" / "sha512" / digest.hex).exists()


@pytest.mark.logs("cannot keep document .* Input/output error", "cannot read document .* Input/output error")
def test_a_failing_disk_is_logged_and_not_raised(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", fails)
        cache.keep_document(prove(BLOB, DATA))
    assert names(root / "staging") == []
    assert cache.document(BLOB) is None
    cache.keep_document(prove(BLOB, DATA))
    monkeypatch.setattr("os.read", fails)
    assert cache.document(BLOB) is None
    monkeypatch.undo()
    assert cache.document(BLOB) is not None


def test_nothing_is_kept_where_there_is_no_room(root: Path) -> None:
    cache = Cache.open(root, min_free_ratio=0.999)
    cache.keep_document(prove(BLOB, DATA))
    assert cache.document(BLOB) is None
