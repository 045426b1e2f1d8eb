"""What the test registry does with pushes, and how it lists referrers."""

import json
from typing import Final

import pytest

from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mkfs.testing.access import Bearer
from mkfs.testing.answers import Request
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry, Response
from mkfs.testing.tokens import TokenIssuer

DATA: Final = b"{}"
BLOB: Final = Digest.of(DATA)
UPLOADS: Final = "/v2/team/new/blobs/uploads/"


def body_of(response: Response) -> bytes:
    return b"".join(item for item in response.items() if isinstance(item, bytes))


def ask(registry: MemoryRegistry, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
    path, _, query = target.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return registry.respond(Request(method, path, query, named, body))


def error_of(response: Response) -> tuple[int, str]:
    return response.status, json.loads(body_of(response))["errors"][0]["code"]


def manifest(subject: Digest | None = None, **fields: object) -> bytes:
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(BLOB), "size": len(DATA)}
    about = {} if subject is None else {"subject": {"mediaType": OCI_MANIFEST, "digest": str(subject), "size": 1}}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty], **about, **fields}
    return json.dumps(document).encode()


def pushed(registry: MemoryRegistry, data: bytes, name: str = "") -> Response:
    ask(registry, "POST", f"{UPLOADS}?digest={BLOB}", DATA)
    target = f"/v2/team/new/manifests/{name or Digest.of(data)}"
    return ask(registry, "PUT", target, data, content_type=OCI_MANIFEST)


def test_a_blob_goes_up_whole_or_in_chunks(registry: MemoryRegistry) -> None:
    for chunks in ([], [b"{"], [b"{", b"}"]):
        place = ask(registry, "POST", UPLOADS).headers["Location"]
        sent = 0
        for chunk in chunks:
            response = ask(registry, "PATCH", place, chunk, content_range=f"{sent}-{sent + len(chunk) - 1}")
            sent += len(chunk)
            assert (response.status, response.headers["Range"]) == (202, f"0-{sent - 1}")
            place = response.headers["Location"]
        response = ask(registry, "PUT", f"{place}&digest={BLOB}", DATA[sent:])
        assert (response.status, response.headers["Docker-Content-Digest"]) == (201, str(BLOB))
        assert body_of(ask(registry, "GET", response.headers["Location"])) == DATA
        registry.repositories["team/new"].blobs.clear()


def test_an_upload_that_is_not_what_it_says_is_not_stored(registry: MemoryRegistry) -> None:
    place = ask(registry, "POST", UPLOADS).headers["Location"]
    assert error_of(ask(registry, "PUT", place.replace("state-1", "state-2"), DATA)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert error_of(ask(registry, "PATCH", place, DATA, content_range="1-2")) == (416, "BLOB_UPLOAD_INVALID")
    assert error_of(ask(registry, "PUT", f"{place}&digest={BLOB}", b"[]")) == (400, "DIGEST_INVALID")
    assert error_of(ask(registry, "PUT", f"{place}&digest={BLOB}", DATA)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert not registry.repositories["team/new"].blobs


def test_a_manifest_is_stored_once_all_that_it_names_is_there(registry: MemoryRegistry) -> None:
    data = manifest()
    put = f"/v2/team/new/manifests/{Digest.of(data)}"
    assert error_of(ask(registry, "PUT", put, data, content_type=OCI_MANIFEST)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert pushed(registry, data).status == 201
    assert body_of(ask(registry, "GET", put)) == data
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": "x", "digest": str(BLOB), "size": 1}]}).encode()
    answer = ask(registry, "PUT", "/v2/team/new/manifests/all", index, content_type=OCI_INDEX)
    assert error_of(answer) == (400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("data", "name", "code"), [(b"{}", "7b", "MANIFEST_INVALID"), (manifest(), str(Digest.of(b"")), "DIGEST_INVALID")]
)
def test_a_manifest_that_makes_no_sense_is_refused(registry: MemoryRegistry, data: bytes, name: str, code: str) -> None:
    assert error_of(pushed(registry, data, name)) == (400, code)


def test_pushing_takes_a_token_for_pushing(registry: MemoryRegistry) -> None:
    registry.access = Bearer(TokenIssuer({"ada": "one", "ben": "two"}, anonymous=True, writers={"team/new": frozenset({"ada"})}))

    def token(scope: str, **fields: str) -> str:
        form = "&".join(f"{name}={value}" for name, value in {"grant_type": "password", "scope": scope, **fields}.items())
        return "Bearer " + json.loads(body_of(ask(registry, "POST", "/token", form.encode())))["token"]

    refused = ask(registry, "POST", UPLOADS)
    assert refused.status == 401
    assert 'scope="repository:team/new:pull,push"' in refused.headers["WWW-Authenticate"]
    scope = "repository:team/new:pull,push"
    for user, password, asked, status in (("ben", "two", scope, 401), ("ada", "one", scope[:-5], 401), ("ada", "one", scope, 202)):
        authorization = token(asked, username=user, password=password)
        assert ask(registry, "POST", UPLOADS, authorization=authorization).status == status


def test_referrers_are_listed_page_by_page_and_filtered(registry: MemoryRegistry) -> None:
    subject = Digest.of(b"subject")
    registry.referrers = ReferrersApi(page=2)
    kinds = ["a/x", "a/y", "a/x", "a/x"]
    for number, kind in enumerate(kinds):
        answer = pushed(registry, manifest(subject, artifactType=kind, annotations={"number": str(number)}))
        assert answer.headers["OCI-Subject"] == str(subject)
    pushed(registry, manifest(Digest.of(b"another")))
    target, found = f"/v2/team/new/referrers/{subject}?artifactType=a/x", []
    while target:
        answer = ask(registry, "GET", target)
        assert (answer.status, answer.headers["OCI-Filters-Applied"]) == (200, "artifactType")
        assert answer.headers["Content-Type"] == OCI_INDEX
        found += json.loads(body_of(answer))["manifests"]
        target = answer.headers.get("Link", "<>")[1:].partition(">")[0]
    assert sorted(entry["annotations"]["number"] for entry in found) == ["0", "2", "3"]
    assert {entry["artifactType"] for entry in found} == {"a/x"}
    assert error_of(ask(registry, "GET", "/v2/team/new/referrers/latest")) == (400, "DIGEST_INVALID")


def test_referrers_may_be_listed_the_way_ggcr_does_it(registry: MemoryRegistry) -> None:
    registry.referrers = ReferrersApi(filters=False, says_subject=False, config_types=True)
    subject = Digest.of(b"subject")
    assert "OCI-Subject" not in pushed(registry, manifest(subject, artifactType="a/x")).headers
    answer = ask(registry, "GET", f"/v2/team/new/referrers/{subject}?artifactType=a/y")
    assert "OCI-Filters-Applied" not in answer.headers
    (entry,) = json.loads(body_of(answer))["manifests"]
    assert entry["artifactType"] == "application/vnd.oci.empty.v1+json"
