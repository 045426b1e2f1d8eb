"""What references meant last: for when nobody can be asked."""

from dataclasses import replace
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import Proven, prove
from tests.cache.material import flip, names

TAGGED = Reference.parse("registry.test/team/model:7b")
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
NOW = 1_700_000_000.9


def manifest(number: int = 1) -> Proven:
    data = b'{"schemaVersion": 2, "number": %d}' % number
    return prove(Descriptor(MEDIA_TYPE, Digest.of(data), len(data)), data)


FIRST, SECOND = manifest(1), manifest(2)


def test_a_tag_means_what_it_meant_last_and_when(cache: Cache, root: Path) -> None:
    cache.resolutions.remember(TAGGED, SECOND, MEDIA_TYPE, NOW - 5)
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    for each in (cache, Cache.open(root)):
        recalled = each.resolutions.recall(TAGGED)
        assert recalled is not None
        assert (recalled.digest, recalled.data) == (FIRST.digest, FIRST.data)
        assert (recalled.media_type, recalled.resolved_at) == (MEDIA_TYPE, 1_700_000_000)


def test_what_a_tag_meant_can_be_had_by_digest_too(cache: Cache) -> None:
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    for reference in (TAGGED.pinned(FIRST.digest), replace(TAGGED, tag=None, digest=FIRST.digest)):
        recalled = cache.resolutions.recall(reference)
        assert recalled is not None
        assert recalled.data == FIRST.data


def test_an_old_digest_stays_when_its_tag_has_moved_on(cache: Cache) -> None:
    for each in (FIRST, SECOND):
        cache.resolutions.remember(TAGGED, each, MEDIA_TYPE, NOW)
    recalled = cache.resolutions.recall(TAGGED.pinned(FIRST.digest))
    assert recalled is not None
    assert recalled.data == FIRST.data


def test_asking_by_digest_says_nothing_of_the_tag_beside_it(cache: Cache) -> None:
    cache.resolutions.remember(TAGGED.pinned(FIRST.digest), FIRST, MEDIA_TYPE, NOW)
    assert cache.resolutions.recall(TAGGED) is None


@pytest.mark.parametrize(
    "text",
    [
        "registry.test/team/model:8b",
        "registry.test/team/other:7b",
        "other.test/team/model:7b",
        f"registry.test/team/other@{FIRST.digest}",  # it has the manifest, but this repository never gave it to us
        f"registry.test/team/model@{SECOND.digest}",
    ],
)
def test_no_other_reference_is_answered(cache: Cache, text: str) -> None:
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    cache.keep_document(SECOND)
    assert cache.resolutions.recall(Reference.parse(text)) is None


def test_a_manifest_that_went_or_went_bad_takes_its_resolution_along(cache: Cache, root: Path) -> None:
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    flip(root / "documents" / "sha256" / FIRST.digest.hex, 10)
    assert cache.resolutions.recall(TAGGED) is None
    cache.keep_document(FIRST)
    assert cache.resolutions.recall(TAGGED) is not None


@pytest.mark.parametrize("offset", [3, 70, 120, 200])
def test_a_damaged_resolution_is_none(cache: Cache, root: Path, offset: int) -> None:
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    for name in names(root / "resolutions"):
        flip(root / "resolutions" / name, offset)
    assert cache.resolutions.recall(TAGGED) is None
    assert cache.statistics().damaged == 1


def test_a_record_of_another_version_is_none(cache: Cache) -> None:
    cache.resolutions.remember(TAGGED, FIRST, MEDIA_TYPE, NOW)
    for record in (b"{}", b"[1]", b"", b'{"digest": "sha256:1", "size_bytes": 1, "media_type": "", "resolved_at": 1}'):
        cache.resolutions._records.keep(str(TAGGED), record)
        assert cache.resolutions.recall(TAGGED) is None


def test_a_content_type_without_end_is_cut(cache: Cache) -> None:
    cache.resolutions.remember(TAGGED, FIRST, "x" * 100_000, NOW)
    recalled = cache.resolutions.recall(TAGGED)
    assert recalled is not None
    assert len(recalled.media_type) == 255
