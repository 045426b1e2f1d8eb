"""Tags and digests resolved: what comes back, and how each thing that may be wrong is told."""

import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import BadDocument, Mismatch, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.registry.client import RegistryClient
from mkfs.registry.repository import DOCUMENT_LIMIT_BYTES, Repository
from mkfs.testing import faults
from mkfs.testing.bodies import SeededBody, digest_of
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.support.little_model import DATA, MANIFEST, MANIFEST_DIGEST, MEDIA_TYPE

OTHER = Digest.of(b"something else")


async def test_a_tag_becomes_a_digest_and_the_bytes_it_stands_for(repository: Repository, reference: Reference) -> None:
    found = await repository.resolve(reference)
    assert (found.digest, found.data, found.media_type) == (MANIFEST_DIGEST, MANIFEST, MEDIA_TYPE)


async def test_where_both_are_given_the_digest_decides(
    registry: MemoryRegistry, repository: Repository, reference: Reference
) -> None:
    registry.push("team/model", "7b", b'{"schemaVersion":2}')
    assert (await repository.resolve(reference.pinned(MANIFEST_DIGEST))).data == MANIFEST


async def test_a_sha512_reference_is_checked_by_its_own_digest(registry: MemoryRegistry, repository: Repository) -> None:
    pinned = Digest("sha512", hashlib.sha512(MANIFEST).hexdigest())
    contents = registry.repositories["team/model"]
    contents.manifests[pinned] = contents.manifests[MANIFEST_DIGEST]
    registry.faults.install(Fault(Match(), faults.WrongDigestHeader(str(MANIFEST_DIGEST))))  # as docker-registry 2.8 answers
    assert (await repository.resolve(Reference("registry.test", "team/model", None, pinned))).digest == pinned


@pytest.mark.parametrize("pinned", [False, True])
async def test_a_damaged_manifest_is_never_handed_out(
    registry: MemoryRegistry, repository: Repository, reference: Reference, pinned: bool
) -> None:
    registry.faults.install(Fault(Match(), faults.Flip(40)))
    with pytest.raises(Mismatch, match=f"expected {MANIFEST_DIGEST}"):
        await repository.resolve(reference.pinned(MANIFEST_DIGEST) if pinned else reference)


@pytest.mark.parametrize("text", ["", "sha256:short", "blake3:" + "0" * 64])
async def test_a_digest_header_that_says_nothing_is_not_believed_and_not_missed(
    registry: MemoryRegistry, repository: Repository, reference: Reference, text: str
) -> None:
    registry.faults.install(Fault(Match(), faults.WrongDigestHeader(text)))
    assert (await repository.resolve(reference)).digest == MANIFEST_DIGEST


async def test_another_manifest_than_the_one_pinned_is_refused_whatever_its_header_says(
    registry: MemoryRegistry, repository: Repository, reference: Reference
) -> None:
    contents = registry.repositories["team/model"]
    contents.manifests[OTHER] = contents.manifests[MANIFEST_DIGEST]
    with pytest.raises(Mismatch, match=f"expected {OTHER}"):
        await repository.resolve(reference.pinned(OTHER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("registry.test/team/model:70b", "registry.test/team/model:70b not found: MANIFEST_UNKNOWN"),
        ("registry.test/team/none:7b", "registry.test/team/none:7b not found: NAME_UNKNOWN"),
        (f"registry.test/team/model@{OTHER}", "not found"),
    ],
)
async def test_an_unknown_name_is_told_in_the_registrys_words(
    client: Callable[..., RegistryClient], text: str, words: str, autojump_clock: MockClock
) -> None:
    reference = Reference.parse(text)
    start = trio.current_time()
    with pytest.raises(NotFound, match=words):
        await client().repository(reference).resolve(reference)
    assert trio.current_time() == start


async def test_a_manifest_without_end_is_cut_off(registry: MemoryRegistry, repository: Repository, reference: Reference) -> None:
    big = registry.push("team/model", "7b", b"{" + b" " * (16 << 20) + b"}")
    with pytest.raises(BadDocument, match="at most 4194304 bytes"):
        await repository.resolve(reference)
    assert registry.bytes_sent() < 6 << 20
    assert big


@pytest.mark.parametrize(
    "action", [faults.Status(503), faults.Status(500), faults.Reset(None), faults.Reset(10), faults.ShortBody(9)]
)
async def test_a_registry_that_stumbles_is_asked_again(
    registry: MemoryRegistry,
    client: Callable[..., RegistryClient],
    reference: Reference,
    autojump_clock: MockClock,
    action: faults.Action,
) -> None:
    registry.faults.install(Fault(Match(), action, times=2))
    asking = client()
    assert (await asking.repository(reference).resolve(reference)).data == MANIFEST
    assert (asking.statistics().requests, asking.statistics().retries) == (3, 2)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (faults.Status(503, {"Retry-After": "120"}), "cannot answer for .*7b, again after 120 s .status 503 Service Unavailable"),
        (faults.Status(429, {"Retry-After": "Wed, 21 Oct 2126 07:28:00 GMT"}), "too many requests, again after Wed, 21 Oct 2126"),
        (faults.Status(400), "does not answer for .*status 400 Bad Request"),
        (faults.Status(418), "does not answer for .*status 418"),
        (faults.Status(599), "cannot answer for .*status 599"),
        (faults.Withhold(), "no byte for 25 s"),
        (faults.Stall(10), "no byte for 30 s"),
        (faults.Reset(None), "the connection broke"),
        (faults.Html200(), "a web page came instead of the manifest"),
    ],
)
async def test_a_registry_that_does_not_answer_is_given_up_within_half_a_minute(
    registry: MemoryRegistry,
    repository: Repository,
    reference: Reference,
    autojump_clock: MockClock,
    action: faults.Action,
    words: str,
) -> None:
    registry.faults.install(Fault(Match(), action))
    start = trio.current_time()
    with pytest.raises(Unreachable, match=words) as caught:
        await repository.resolve(reference)
    assert trio.current_time() - start <= 31
    assert "registry.test" in caught.value.where
    refused = isinstance(action, faults.Status) and action.code < 500
    assert len(registry.requests()) == 1 or not refused  # asking again at once would be no use, or rude


async def test_a_manifest_that_drips_is_given_up(
    registry: MemoryRegistry, repository: Repository, reference: Reference, autojump_clock: MockClock
) -> None:
    registry.faults.install(Fault(Match(), faults.Slow(1)))
    with pytest.raises(Unreachable, match=r"only \d+ bytes in 30 s \(expected at least 32768\)"):
        await repository.resolve(reference)


async def test_a_small_blob_is_proven(repository: Repository, blob: Descriptor) -> None:
    proven = await repository.read_blob(blob)
    assert (proven.digest, proven.data) == (blob.digest, DATA)


async def test_a_blob_that_came_wrong_once_is_asked_for_past_the_caches(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    registry.faults.install(Fault(Match(), faults.Flip(7), times=1))
    assert (await repository.read_blob(blob)).data == DATA
    assert ["cache-control" in each.header_names for each in registry.requests()] == [False, True]


async def test_a_blob_that_is_wrong_stays_a_mismatch(registry: MemoryRegistry, repository: Repository, blob: Descriptor) -> None:
    registry.faults.install(Fault(Match(), faults.Flip(7)))
    with pytest.raises(Mismatch):
        await repository.read_blob(blob)
    assert len(registry.requests()) == 2


async def test_what_the_manifest_carries_itself_is_not_asked_for(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    assert (await repository.read_blob(replace(blob, data=DATA))).data == DATA
    assert (await repository.read_blob(Descriptor("x", Digest.of(b""), 0))).data == b""
    with pytest.raises(Mismatch):
        await repository.read_blob(replace(blob, data=b"something else"))
    assert not registry.requests()


async def test_a_document_that_would_fill_the_memory_is_not_begun(
    registry: MemoryRegistry, repository: Repository, blob: Descriptor
) -> None:
    with pytest.raises(BadDocument, match="too large for a document"):
        await repository.read_blob(replace(blob, size_bytes=DOCUMENT_LIMIT_BYTES + 1))
    assert not registry.requests()


async def test_a_larger_document_is_read_where_the_caller_says_so(registry: MemoryRegistry, repository: Repository) -> None:
    body = SeededBody(seed=8, size_bytes=DOCUMENT_LIMIT_BYTES + 5)
    large = Descriptor("x", digest_of(body), body.size_bytes)
    registry.push("team/model", None, MANIFEST, {large.digest: body})
    with pytest.raises(BadDocument, match="expected at most 16777216"):
        await repository.read_blob(large)
    tracemalloc.start()
    try:
        proven = await repository.read_blob(large, large.size_bytes)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (proven.digest, len(proven.data)) == (large.digest, large.size_bytes)
    assert most_bytes < 1.5 * large.size_bytes
    with pytest.raises(BadDocument, match=f"expected at most {large.size_bytes - 1}"):
        await repository.read_blob(large, large.size_bytes - 1)


async def test_a_larger_document_that_is_wrong_is_never_handed_out(registry: MemoryRegistry, repository: Repository) -> None:
    body = SeededBody(seed=8, size_bytes=2 << 20)
    large = Descriptor("x", digest_of(body), body.size_bytes)
    registry.push("team/model", None, MANIFEST, {large.digest: body})
    registry.faults.install(Fault(Match(), faults.Flip(7)))
    with pytest.raises(Mismatch):
        await repository.read_blob(large)
