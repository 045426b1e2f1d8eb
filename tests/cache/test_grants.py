"""Who may be served what: a grant is for one host, one repository and one digest, and outlives the process that earned it."""

import time
from pathlib import Path

import pytest

from mkfs.cache.grants import is_fresh
from mkfs.cache.store import Cache
from mkfs.oci.digest import Digest
from tests.cache.material import flip, names

HOST, REPOSITORY, DIGEST = "registry.test:5000", "team/model", Digest.of(b"layer")


def only_record(root: Path) -> Path:
    (name,) = names(root / "grants")
    return root / "grants" / name


def test_nobody_has_what_was_never_granted(cache: Cache) -> None:
    assert not cache.grants.granted(HOST, REPOSITORY, DIGEST)
    assert cache.statistics().damaged == 0


def test_a_grant_holds_for_every_process_and_the_next(cache: Cache, root: Path) -> None:
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    for each in (cache, Cache.open(root)):
        assert each.grants.granted(HOST, REPOSITORY, DIGEST)
    assert names(root / "staging") == []


@pytest.mark.parametrize(
    ("host", "repository", "digest"),
    [
        ("registry.test", REPOSITORY, DIGEST),
        ("other.test:5000", REPOSITORY, DIGEST),
        (HOST, "team", DIGEST),
        (HOST, "team/model/7b", DIGEST),
        ("registry.test:5000/team", "model", DIGEST),
        (HOST, REPOSITORY, Digest.of(b"another layer")),
        (HOST, REPOSITORY, Digest("sha512", DIGEST.hex * 2)),
    ],
)
def test_a_grant_says_nothing_of_others(cache: Cache, host: str, repository: str, digest: Digest) -> None:
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    assert not cache.grants.granted(host, repository, digest)


def test_a_grant_says_when_and_is_fresh_for_a_day(cache: Cache) -> None:
    cache.grants.grant(HOST, REPOSITORY, DIGEST, 1_800_000_000.9)
    granted = cache.grants.granted(HOST, REPOSITORY, DIGEST)
    assert granted == 1_800_000_000
    ages = {-1: False, 0: True, 24 * 3600 - 1: True, 24 * 3600: False, 10**9: False}
    assert {age: is_fresh(granted, granted + age) for age in ages} == ages
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    granted = cache.grants.granted(HOST, REPOSITORY, DIGEST)
    assert granted is not None
    assert is_fresh(granted, time.time())


def test_what_was_taken_back_is_as_if_it_had_never_been(cache: Cache, root: Path) -> None:
    for digest in (DIGEST, Digest.of(b"another")):
        cache.grants.grant(HOST, REPOSITORY, digest)
    for _ in range(2):
        cache.grants.revoke(HOST, REPOSITORY, DIGEST)
    assert cache.grants.granted(HOST, REPOSITORY, DIGEST) is None
    assert len(names(root / "grants")) == 1


@pytest.mark.parametrize("record", [b"granted\n", b"granted x", b"granted ", b"refused 1", b""])
def test_a_grant_of_another_version_is_none(cache: Cache, record: bytes) -> None:
    cache.grants._records.keep(f"{HOST} {REPOSITORY} {DIGEST}", record)
    assert cache.grants.granted(HOST, REPOSITORY, DIGEST) is None


def test_granting_twice_is_granting_once(cache: Cache, root: Path) -> None:
    for _ in range(2):
        cache.grants.grant(HOST, REPOSITORY, DIGEST)
    assert len(names(root / "grants")) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "zeros", "longer", "link", "directory", "another's"])
def test_a_damaged_grant_is_none_and_is_removed(cache: Cache, root: Path, damage: str) -> None:
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    record = only_record(root)
    content = record.read_bytes()
    match damage:
        case "flip":
            flip(record, len(content) - 3)
        case "truncate":
            record.write_bytes(content[:-1])
        case "empty":
            record.write_bytes(b"")
        case "zeros":
            record.write_bytes(bytes(len(content)))
        case "longer":
            record.write_bytes(content + b"\0")
        case "link":
            record.rename(record.parent / "elsewhere")
            record.symlink_to("elsewhere")
        case "directory":
            record.unlink()
            (record / "deep").mkdir(parents=True)
        case "another's":
            cache.grants.grant(HOST, "team/other", DIGEST)
            (other,) = set(names(record.parent)) - {record.name}
            (record.parent / other).rename(record)
    assert not cache.grants.granted(HOST, REPOSITORY, DIGEST)
    assert record.name not in names(record.parent)
    assert cache.statistics().damaged == 1
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    assert cache.grants.granted(HOST, REPOSITORY, DIGEST)


def test_no_name_from_a_registry_becomes_a_path(cache: Cache, root: Path) -> None:
    cache.grants.grant("..", "../../../../escape", DIGEST)
    assert not (root.parent / "escape").exists()
    assert all(len(name) == 64 for name in names(root / "grants"))


@pytest.mark.logs("cannot keep the grant .* Input/output error", "cannot read the grant .* Input/output error")
def test_a_failing_disk_is_logged_and_grants_nothing(cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", fails)
        cache.grants.grant(HOST, REPOSITORY, DIGEST)
    assert names(root / "staging") == names(root / "grants") == []
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    with monkeypatch.context() as patch:
        patch.setattr("os.read", fails)
        assert not cache.grants.granted(HOST, REPOSITORY, DIGEST)
    assert cache.grants.granted(HOST, REPOSITORY, DIGEST)


def test_nothing_is_kept_where_there_is_no_room(root: Path) -> None:
    cache = Cache.open(root, min_free_ratio=0.999)
    cache.grants.grant(HOST, REPOSITORY, DIGEST)
    assert not cache.grants.granted(HOST, REPOSITORY, DIGEST)
