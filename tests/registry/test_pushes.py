"""Pushing: what goes up, what does not, and how a referrer gets into the list of its subject."""

import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import BadDocument, Mismatch, MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import fallback_tag
from mkfs.ranges import ByteRange
from mkfs.registry import pushes
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.registry.transport import Transport
from mkfs.registry.urls import Url
from mkfs.testing import faults
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.answers import Answer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from mkfs.testing.transport import MemoryTransport
from mkfs.units import MIB
from tests.support.attached import EMPTY, EMPTY_BLOB, Attached
from tests.support.little_model import BLOB, DATA, MANIFEST, MANIFEST_DIGEST

SUBJECT = Descriptor(OCI_MANIFEST, MANIFEST_DIGEST, len(MANIFEST))
TAG = fallback_tag(MANIFEST_DIGEST)
NEW = b"a new document"
NEW_BLOB = Descriptor("text/plain", Digest.of(NEW), len(NEW))
UPLOADS = "/blobs/uploads/"


@pytest.fixture
def target(client: Callable[..., RegistryClient]) -> Repository:
    """`registry.test/team/new`, which nobody has pushed to."""
    return client().repository(Reference.parse("registry.test/team/new:1"))


def asked(registry: MemoryRegistry) -> list[tuple[str, int]]:
    return [(served.method, served.status) for served in registry.log]


def stored(registry: MemoryRegistry, blob: Descriptor) -> bytes:
    body = registry.repositories["team/new"].blobs[blob.digest]
    return body.read(ByteRange(0, body.size_bytes))


def listed(registry: MemoryRegistry) -> list[Digest]:
    contents = registry.repositories["team/new"]
    return [Digest.parse(each["digest"]) for each in json.loads(contents.manifests[contents.tags[TAG]].data)["manifests"]]


async def test_a_blob_goes_up_in_two_requests_and_once_only(registry: MemoryRegistry, target: Repository) -> None:
    await target.push_blob(NEW_BLOB, NEW)
    assert asked(registry) == [("HEAD", 404), ("POST", 202), ("PUT", 201)]
    assert stored(registry, NEW_BLOB) == NEW
    await target.push_blob(NEW_BLOB, NEW)
    assert asked(registry)[3:] == [("HEAD", 200)]


async def test_a_large_file_goes_up_in_pieces(registry: MemoryRegistry, target: Repository, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 5)
    path = tmp_path / "document"
    path.write_bytes(data)
    blob = Descriptor("x", Digest.of(data), len(data))
    with path.open("rb") as file:
        file.seek(100)
        await target.push_blob(blob, file)
    assert stored(registry, blob) == data


async def test_an_empty_blob_is_a_blob(registry: MemoryRegistry, target: Repository) -> None:
    empty = Descriptor("x", Digest.of(b""), 0)
    await target.push_blob(empty, b"")
    assert stored(registry, empty) == b""


@pytest.mark.parametrize(
    "place",
    [
        "/v2/{repository}/blobs/uploads/{id}?_state={state}",
        "{id}?_state={state}",
        "https://registry.test/v2/{repository}/blobs/uploads/{id}?_state={state}",
        "https://auth.test/v2/{repository}/blobs/uploads/{id}?_state={state}",
    ],
    ids=["relative", "beside", "absolute", "at another host"],
)
async def test_the_registry_says_where_to(registry: MemoryRegistry, target: Repository, place: str) -> None:
    registry.uploads.place = place
    await target.push_blob(NEW_BLOB, NEW)
    assert stored(registry, NEW_BLOB) == NEW


async def test_another_host_gets_the_bytes_and_no_password(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], docker_config: Callable[..., Path]
) -> None:
    registry.access = Basic({"ada": "pl4nted"})
    registry.uploads.place = "https://auth.test/v2/{repository}/blobs/uploads/{id}?_state={state}"
    repository = client(Credentials.load(docker_config(pair="ada:pl4nted"))).repository(Reference.parse("registry.test/team/new:1"))
    with pytest.raises(Unreachable, match=r"does not answer for an upload to registry.test/team/new .status 401") as caught:
        await repository.push_blob(NEW_BLOB, NEW)
    assert caught.value.where == "auth.test"
    brought = [(served.method, "authorization" in served.header_names) for served in registry.log]
    assert brought == [("HEAD", False), ("HEAD", True), ("POST", True), ("PUT", False)]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("http://registry.test/x", "redirect from https to plain http refused"),
        ("https://169.254.169.254/x", "it is no address of a storage host"),
        ("", "names no place to upload to"),
        ("https://ada:pl4nted@registry.test/", "names no place to upload to"),
    ],
)
async def test_a_place_that_makes_no_sense_gets_nothing(
    registry: MemoryRegistry, storage: MemoryRegistry, target: Repository, place: str, words: str
) -> None:
    registry.uploads.place = place
    with pytest.raises(Unreachable, match=words):
        await target.push_blob(NEW_BLOB, NEW)
    assert asked(registry) == [("HEAD", 404), ("POST", 202)]
    assert not storage.log


@pytest.mark.parametrize("code", [307, 308])
async def test_an_upload_that_is_sent_on_is_made_there_again(registry: MemoryRegistry, target: Repository, code: int) -> None:
    moved = "https://auth.test/v2/team/new/blobs/uploads/upload-1?_state=pl4nted-state-1&digest=" + str(NEW_BLOB.digest)
    registry.faults.install(Fault(Match(method="PUT"), faults.Redirect(moved, code), times=1))
    registry.faults.install(Fault(Match(method="POST"), faults.Redirect("/v2/team/new/blobs/uploads/", code), times=1))
    await target.push_blob(NEW_BLOB, io.BytesIO(NEW))
    assert asked(registry) == [("HEAD", 404), ("POST", code), ("POST", 202), ("PUT", code), ("PUT", 201)]
    assert stored(registry, NEW_BLOB) == NEW


@pytest.mark.parametrize("code", [301, 302, 303])
async def test_a_redirect_that_would_make_it_a_get_is_not_followed(registry: MemoryRegistry, target: Repository, code: int) -> None:
    registry.faults.install(Fault(Match(method="PUT"), faults.Redirect("/elsewhere", code)))
    with pytest.raises(Unreachable, match=f"redirect that makes no PUT .status {code}"):
        await target.push_blob(NEW_BLOB, NEW)


@pytest.mark.parametrize(
    ("content", "words"),
    [(NEW + b"!", "1 bytes too many"), (NEW[:-1], "1 bytes too few"), (NEW.upper(), "got sha256:"), (b"", "14 bytes too few")],
)
async def test_what_is_not_as_described_is_told_before_the_registry_tells(
    registry: MemoryRegistry, target: Repository, content: bytes, words: str
) -> None:
    for source in (content, io.BytesIO(content)):
        with pytest.raises(Mismatch, match=words):
            await target.push_blob(NEW_BLOB, source)
    assert not registry.repositories["team/new"].blobs


async def test_a_file_that_cannot_be_read_is_told(target: Repository) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(MkfsError, match=r"what is to be pushed cannot be read .input/output error"):
        await target.push_blob(NEW_BLOB, Broken())


@pytest.mark.parametrize("action", [faults.Status(503), faults.Reset(None)], ids=["503", "reset"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
async def test_a_registry_that_stumbles_is_tried_again(
    registry: MemoryRegistry, target: Repository, autojump_clock: MockClock, action: faults.Action, method: str
) -> None:
    registry.faults.install(Fault(Match(method=method), action, times=1))
    await target.push_blob(NEW_BLOB, NEW)
    assert stored(registry, NEW_BLOB) == NEW


class SlowUplink(httpx2.AsyncBaseTransport):
    """Takes a piece of a request's body every 20 s."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pieces = []
        async for piece in request.stream:
            await trio.sleep(20)
            pieces.append(piece)
        sent = httpx2.Request(request.method, request.url, headers=request.headers, content=b"".join(pieces))
        return await self.inner.handle_async_request(sent)


async def test_a_slow_upload_is_waited_for_as_long_as_it_moves(registry: MemoryRegistry, autojump_clock: MockClock) -> None:
    data = bytes(10 * pushes.PIECE_BYTES)
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=SlowUplink(MemoryTransport(registry)))
    start = trio.current_time()
    repository = client.repository(Reference.parse("registry.test/team/new:1"))
    await repository.push_blob(Descriptor("x", Digest.of(data), len(data)), data)
    assert trio.current_time() - start >= 200


class TwoPieces:
    size_bytes = 2

    def pieces(self) -> AsyncIterator[bytes]:
        return SendingIterator(iter([b"a", b"b"]))


class SendingIterator:  # no generator: who gives it up does not end it
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return next(self.pieces)


async def test_an_upload_that_stops_moving_is_given_up_after_the_seconds_given(
    registry: MemoryRegistry, autojump_clock: MockClock
) -> None:
    transport, start = Transport(SlowUplink(MemoryTransport(registry))), trio.current_time()
    with pytest.raises(Unreachable):
        async with transport.ask(Url.parse("http://registry.test/v2/"), {}, method="PUT", content=TwoPieces(), answer_seconds=15):
            pass
    assert trio.current_time() - start == pytest.approx(15)


@pytest.mark.parametrize(
    ("method", "answer", "error", "words"),
    [
        ("POST", faults.Status(405), Unreachable, "takes no uploads to registry.test/team/new .status 405"),
        ("POST", faults.Status(501), Unreachable, "takes no uploads to registry.test/team/new"),
        ("POST", faults.Status(404), NotFound, "nothing can be pushed to registry.test/team/new .status 404"),
        ("POST", faults.Status(200), Unreachable, "status 200"),
        ("PUT", faults.Status(413), Unreachable, "too large for the registry, or for a proxy before it"),
        ("PUT", faults.Status(400), Unreachable, "does not answer for an upload .*status 400"),
        ("PUT", faults.Status(429, {"Retry-After": "70"}), Unreachable, "too many requests, again after 70 s"),
        ("PUT", faults.Status(202), Unreachable, "status 202"),
    ],
)
async def test_a_registry_that_takes_nothing_says_why(
    registry: MemoryRegistry,
    target: Repository,
    autojump_clock: MockClock,
    method: str,
    answer: faults.Action,
    error: type[MkfsError],
    words: str,
) -> None:
    registry.faults.install(Fault(Match(method=method), answer))
    with pytest.raises(error, match=words) as caught:
        await target.push_blob(NEW_BLOB, NEW)
    assert caught.value.where == "registry.test"


async def test_a_read_only_registry_is_told_in_its_own_words(registry: MemoryRegistry, target: Repository) -> None:
    registry.read_only = True
    with pytest.raises(Unreachable, match=r"takes no uploads to .*: UNSUPPORTED: the operation is unsupported"):
        await target.push_blob(NEW_BLOB, NEW)


async def test_pushing_asks_for_a_token_that_may_push_and_reading_for_none(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], docker_config: Callable[..., Path]
) -> None:
    users = {"ada": "pl4nted", "ben": "pl4nted"}
    writers = {"team/new": frozenset({"ada"}), "team/model": frozenset[str]()}
    registry.access = Bearer(TokenIssuer(users, writers=writers, realm="https://registry.test/token"))
    credentials = Credentials.load(docker_config(pair="ada:pl4nted"))
    asking = client(credentials)
    repository = asking.repository(Reference.parse("registry.test/team/new:1"))
    await Attached(SUBJECT).push(repository)
    assert len(listed(registry)) == 1
    model = asking.repository(Reference.parse("registry.test/team/model:7b"))
    assert (await model.read_blob(Descriptor("x", BLOB, len(DATA)))).data == DATA
    with pytest.raises(NotAuthorised) as caught:
        await model.push_blob(NEW_BLOB, NEW)
    assert caught.value.hint == "docker login registry.test"
    assert "pl4nted" not in str(caught.value)


async def test_a_token_that_ends_between_two_requests_is_replaced(
    registry: MemoryRegistry, client: Callable[..., RegistryClient], docker_config: Callable[..., Path]
) -> None:
    class Revoking:
        """Takes every token back right before the bytes come."""

        def apply(self, answer: Answer, /) -> Answer:
            issuer.revoke()
            return answer

    issuer = TokenIssuer({"ada": "pl4nted"}, realm="https://registry.test/token")
    registry.access = Bearer(issuer)
    registry.faults.install(Fault(Match(method="POST", path=UPLOADS), Revoking()))
    repository = client(Credentials.load(docker_config(pair="ada:pl4nted"))).repository(Reference.parse("registry.test/team/new:1"))
    await repository.push_blob(NEW_BLOB, io.BytesIO(NEW))
    assert stored(registry, NEW_BLOB) == NEW
    assert [status for method, status in asked(registry) if method == "PUT"] == [401, 201]


@pytest.mark.parametrize("tag", [None, "2"])
async def test_a_manifest_is_found_again_by_digest_and_tag(registry: MemoryRegistry, target: Repository, tag: str | None) -> None:
    await target.push_blob(EMPTY_BLOB, EMPTY)
    empty = {"mediaType": EMPTY_BLOB.media_type, "digest": str(EMPTY_BLOB.digest), "size": 2}
    data = json.dumps({"schemaVersion": 2, "config": empty, "layers": []}).encode()
    digest = await target.push_manifest(data, OCI_MANIFEST, tag)
    assert digest == Digest.of(data)
    found = await target.resolve(Reference("registry.test", "team/new", tag, None if tag else digest))
    assert (found.data, found.media_type) == (data, OCI_MANIFEST)
    assert list(registry.repositories["team/new"].tags) == ([tag] if tag else [])


async def test_what_is_no_manifest_is_not_sent(registry: MemoryRegistry, target: Repository) -> None:
    for data, kind in ((b"{}", OCI_MANIFEST), (Attached(SUBJECT).manifest, OCI_INDEX)):
        with pytest.raises(BadDocument):
            await target.push_manifest(data, kind)
    assert not registry.log


async def test_a_manifest_before_what_it_names_is_refused_in_the_registrys_words(target: Repository) -> None:
    with pytest.raises(Unreachable, match="MANIFEST_BLOB_UNKNOWN"):
        await target.push_manifest(Attached(SUBJECT).manifest, OCI_MANIFEST)


async def test_a_registry_that_stored_something_else_is_noticed(registry: MemoryRegistry, target: Repository) -> None:
    registry.faults.install(Fault(Match(method="PUT", path="/manifests/"), faults.WrongDigestHeader()))
    with pytest.raises(Mismatch, match="the registry stored something else"):
        await Attached(SUBJECT).push(target)


@pytest.mark.parametrize("api", [ReferrersApi(), ReferrersApi(says_subject=False, filters=False)], ids=["says so", "does it"])
async def test_where_the_registry_lists_referrers_no_tag_is_written(
    registry: MemoryRegistry, target: Repository, api: ReferrersApi
) -> None:
    registry.referrers = api
    attached = Attached(SUBJECT, annotations={"a": "b"})
    await attached.push(target)
    assert not registry.repositories["team/new"].tags
    assert await target.referrers(MANIFEST_DIGEST, attached.artifact_type) == (attached.descriptor,)


async def test_where_it_does_not_the_list_is_kept_under_a_tag(registry: MemoryRegistry, target: Repository) -> None:
    attached = [Attached(SUBJECT, document=document, annotations={"document": document.decode()}) for document in (b"1", b"2")]
    attached.append(Attached(SUBJECT, artifact_type=""))
    for each in attached:
        await each.push(target)
        await each.push(target)
    assert listed(registry) == [each.descriptor.digest for each in attached]
    assert await target.referrers(MANIFEST_DIGEST) == tuple(each.descriptor for each in attached)


async def test_what_others_listed_stays(registry: MemoryRegistry, target: Repository) -> None:
    other = Attached(SUBJECT, document=b"other")
    await other.push(target)
    contents = registry.repositories["team/new"]
    document = json.loads(contents.manifests[contents.tags[TAG]].data)
    document["manifests"][0]["foreign"] = {"kept": True}
    contents.add_manifest(json.dumps({**document, "annotations": {"by": "hand"}}).encode(), TAG)
    await Attached(SUBJECT).push(target)
    after = json.loads(contents.manifests[contents.tags[TAG]].data)
    assert (after["manifests"][0]["foreign"], after["annotations"], len(after["manifests"])) == ({"kept": True}, {"by": "hand"}, 2)


class Race:
    """Somebody else writes the list right after we did, from what they read before: our entry is lost."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry = registry

    def apply(self, answer: Answer, /) -> Answer:
        contents = self.registry.repositories["team/new"]
        theirs = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        contents.add_manifest(theirs, TAG)
        return answer


@pytest.mark.parametrize("times", [1, 3])
async def test_an_entry_that_was_lost_in_a_race_is_added_again(
    registry: MemoryRegistry, target: Repository, autojump_clock: MockClock, times: int
) -> None:
    registry.faults.install(Fault(Match(method="PUT", path=TAG), Race(registry), times=times))
    await Attached(SUBJECT).push(target)
    assert listed(registry) == [Attached(SUBJECT).descriptor.digest]


async def test_a_race_without_end_is_told(registry: MemoryRegistry, target: Repository, autojump_clock: MockClock) -> None:
    registry.faults.install(Fault(Match(method="PUT", path=TAG), Race(registry)))
    with pytest.raises(Unreachable, match="somebody else changes the list of referrers all the time"):
        await Attached(SUBJECT).push(target)
    assert sum(served.method == "PUT" and served.path.endswith(TAG) for served in registry.log) == pushes.LIST_TRIES


async def test_a_tag_that_holds_something_else_is_not_written_over(registry: MemoryRegistry, target: Repository) -> None:
    attached = Attached(SUBJECT)
    registry.push("team/new", TAG, MANIFEST)
    with pytest.raises(BadDocument) as caught:
        await attached.push(target)
    assert "was pushed, but nobody will find it" in caught.value.where
    assert registry.repositories["team/new"].tags[TAG] == MANIFEST_DIGEST
