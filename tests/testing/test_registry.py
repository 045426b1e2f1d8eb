"""The read side of distribution-spec, as a pure function. Carriers and faults have tests of their own."""

import json
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.answers import Request
from mkfs.testing.registry import MemoryRegistry, Response
from tests.support.little_model import BLOB, BLOB_PATH, BODY, DATA, MANIFEST, MANIFEST_DIGEST, MANIFEST_PATH, MEDIA_TYPE


def body_of(response: Response) -> bytes:
    return b"".join(item for item in response.items() if isinstance(item, bytes))


def get(registry: MemoryRegistry, path: str, **headers: str) -> Response:
    path, _, query = path.partition("?")
    return registry.respond(Request("GET", path, query, headers))


def error_of(response: Response) -> tuple[int, str]:
    return response.status, json.loads(body_of(response))["errors"][0]["code"]


@pytest.mark.parametrize("selector", ["7b", str(MANIFEST_DIGEST)])
def test_a_manifest_is_found_by_tag_and_by_digest(registry: MemoryRegistry, selector: str) -> None:
    response = get(registry, f"/v2/team/model/manifests/{selector}", accept=f"text/plain, {MEDIA_TYPE};q=0.5")
    assert (response.status, body_of(response)) == (200, MANIFEST)
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert response.headers["Docker-Content-Digest"] == str(MANIFEST_DIGEST)


def test_a_client_that_does_not_accept_the_media_type_is_told_there_is_no_such_manifest(registry: MemoryRegistry) -> None:
    assert error_of(get(registry, MANIFEST_PATH, accept="application/json")) == (404, "MANIFEST_UNKNOWN")


def test_head_says_what_get_would_bring_and_brings_nothing(registry: MemoryRegistry) -> None:
    for path, size_bytes in ((MANIFEST_PATH, len(MANIFEST)), (BLOB_PATH, len(DATA))):
        response = registry.respond(Request("HEAD", path))
        assert (response.status, response.headers["Content-Length"], body_of(response)) == (200, str(size_bytes), b"")


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        (f"bytes=100-{10**30}", 100, len(DATA)),
        ("bytes=100-", 100, len(DATA)),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
    ],
)
def test_a_range_brings_exactly_its_bytes(registry: MemoryRegistry, header: str, start: int, stop: int) -> None:
    response = get(registry, BLOB_PATH, range=header)
    assert (response.status, body_of(response)) == (206, DATA[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert response.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("header", [f"bytes={len(DATA)}-", "bytes=9-8", "bytes=-0"])
def test_a_range_that_holds_no_byte_is_not_satisfiable(registry: MemoryRegistry, header: str) -> None:
    response = get(registry, BLOB_PATH, range=header)
    assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "bytes=-", "items=0-1", "bytes=a-b"])
def test_a_range_nobody_understands_brings_everything(registry: MemoryRegistry, header: str) -> None:
    response = get(registry, BLOB_PATH, range=header)
    assert (response.status, body_of(response)) == (200, DATA)


def test_a_manifest_knows_no_ranges(registry: MemoryRegistry) -> None:
    assert get(registry, MANIFEST_PATH, range="bytes=0-1").status == 200


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/team/model/manifests/8b", (404, "MANIFEST_UNKNOWN")),
        ("/v2/team/other/manifests/7b", (404, "NAME_UNKNOWN")),
        (f"/v2/team/model/blobs/{Digest.of(b'')}", (404, "BLOB_UNKNOWN")),
        ("/v2/team/model/blobs/sha256:12", (400, "DIGEST_INVALID")),
    ],
)
def test_what_is_not_there_is_refused_in_the_words_of_the_specification(registry: MemoryRegistry, path: str, error) -> None:
    assert error_of(get(registry, path)) == error


def test_nobody_can_write_to_a_registry_that_is_read_only(registry: MemoryRegistry) -> None:
    registry.read_only = True
    assert error_of(registry.respond(Request("PUT", MANIFEST_PATH, body=b"{}"))) == (405, "UNSUPPORTED")


def test_there_are_no_referrers_and_no_other_pages(registry: MemoryRegistry) -> None:
    for path in (f"/v2/team/model/referrers/{MANIFEST_DIGEST}", "/v2/_catalog", "/", "/token"):
        assert get(registry, path).status == 404
    assert get(registry, "/v2/").status == 200


def test_tags_come_sorted_and_page_by_page(registry: MemoryRegistry) -> None:
    for tag in ("b", "a", "c"):
        registry.push("team/model", tag, MANIFEST)
    path, pages = "/v2/team/model/tags/list?n=3", []
    for _ in range(2):
        response = get(registry, path)
        pages.append(json.loads(body_of(response))["tags"])
        path = response.headers.get("Link", "<>")[1:].partition(">")[0]
    assert (pages, path) == ([["7b", "a", "b"], ["c"]], "")
    everything = {"name": "team/model", "tags": [*pages[0], *pages[1]]}
    assert json.loads(body_of(get(registry, "/v2/team/model/tags/list"))) == everything


def test_the_log_tells_who_asked_for_what_and_how_much_went_out(registry: MemoryRegistry) -> None:
    response = get(registry, BLOB_PATH, authorization="Bearer x", range="bytes=5-9")
    response.served.sent_bytes += 5
    get(registry, MANIFEST_PATH)
    (served,) = registry.requests(BLOB)
    assert (served.method, served.path, served.repository, served.status) == ("GET", BLOB_PATH, "team/model", 206)
    assert (served.range, served.header_names) == (ByteRange(5, 10), ("authorization", "range"))
    assert (registry.bytes_sent(BLOB), registry.bytes_sent(), len(registry.log)) == (5, 5, 2)
    registry.log.clear()
    assert registry.bytes_sent(BLOB) == 0


def test_a_refusal_is_logged_under_the_digest_asked_for(registry: MemoryRegistry) -> None:
    missing = Digest.of(b"missing")
    get(registry, f"/v2/team/model/blobs/{missing}")
    get(registry, f"/v2/team/model/manifests/{missing}")
    assert [served.status for served in registry.requests(missing)] == [404, 404]


def test_no_secret_is_in_the_log_or_in_any_repr(registry: MemoryRegistry) -> None:
    request = Request("GET", f"/storage/{BLOB}", "X-Signature=s3cr3t", {"authorization": "Bearer s3cr3t"}, b"password=s3cr3t")
    response = registry.respond(request)
    assert "s3cr3t" not in repr((request, response, list(registry.log)))


def test_storage_serves_whoever_comes_but_not_with_credentials(registry: MemoryRegistry) -> None:
    assert body_of(get(registry, f"/storage/{BLOB}?signature=x", range="bytes=3-4")) == DATA[3:5]
    assert get(registry, f"/storage/{BLOB}", authorization="Bearer x").status == 400


def test_a_layout_directory_is_served_with_its_tags_from_its_files(tmp_path: Path) -> None:
    child, config = MANIFEST, b"{}"
    index = json.dumps({"manifests": [{"mediaType": MEDIA_TYPE, "digest": str(Digest.of(child)), "size": len(child)}]}).encode()
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in (child, config, index):
        (blobs / Digest.of(data).hex).write_bytes(data)
    index_type = "application/vnd.oci.image.index.v1+json"
    entry = {"mediaType": index_type, "digest": str(Digest.of(index)), "size": len(index)}
    names = [{"org.opencontainers.image.ref.name": name} for name in ("one", "registry.test/team/model:two")]
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [{**entry, "annotations": name} for name in names]}))
    registry = MemoryRegistry()
    registry.add_layout(tmp_path, "layout")
    for selector in ("one", "two", str(Digest.of(index))):
        response = get(registry, f"/v2/layout/manifests/{selector}")
        assert (response.headers["Content-Type"], body_of(response)) == (index_type, index)
    assert body_of(get(registry, f"/v2/layout/manifests/{Digest.of(child)}")) == child
    assert body_of(get(registry, f"/v2/layout/blobs/{Digest.of(config)}")) == config


def test_a_large_blob_need_not_be_read_to_be_answered(registry: MemoryRegistry) -> None:
    class Unread:
        size_bytes = 2**50

        def read(self, wanted: ByteRange, /) -> bytes:
            raise AssertionError(wanted)

    digest = Digest.of(b"huge")
    registry.push("team/model", None, b"{}", {digest: Unread()})
    assert get(registry, f"/v2/team/model/blobs/{digest}").headers["Content-Length"] == str(2**50)
    assert BODY.size_bytes == len(DATA)
