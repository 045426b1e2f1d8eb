"""A registry in memory: distribution-spec as a pure function from request to answer, with faults and a log.

    registry = MemoryRegistry()
    registry.push("team/model", "7b", manifest, blobs)
    registry.respond(Request("GET", "/v2/team/model/manifests/7b"))

`testing.serving` carries it over sockets, `testing.transport` into an httpx client without any. Any thread may call `respond`.

Beside the specification there is `/storage/<digest>`, the place a `Redirect` fault sends clients to: it serves every blob without
asking who wants it, and like S3 answers 400 to a request that still brings an `Authorization`.

Served are single ranges; several in one request are ignored (200), as RFC 9110 allows. Referrers are listed where
`registry.referrers` says how; by default they are not (404), like in Debian's registry.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, final
from urllib.parse import parse_qs, quote

from mkfs.errors import BadDigest
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing import planted
from mkfs.testing.access import Access, Anonymous
from mkfs.testing.answers import Answer, Break, Request
from mkfs.testing.bodies import BlobBody, as_body
from mkfs.testing.contents import Contents
from mkfs.testing.faults import Faults
from mkfs.testing.log import Log, Served
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.refusals import refusal
from mkfs.testing.uploads import Uploads, put_manifest

_BLOB_TYPE: Final = "application/octet-stream"
_API_VERSION: Final[Mapping[str, str]] = {"Docker-Distribution-API-Version": "registry/2.0"}
_ROUTE: Final = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<name>[^/]+)", re.ASCII)
_UPLOAD: Final = re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<kind>uploads)/(?P<name>[^/]*)", re.ASCII)
_STORAGE: Final = re.compile(r"/storage/(?P<name>[^/]+)", re.ASCII)
_BYTES: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII)
_TWO_CREDENTIALS: Final = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>\n"
_WRITING: Final = frozenset({("uploads", "POST"), ("uploads", "PATCH"), ("uploads", "PUT"), ("manifests", "PUT")})
_READING: Final = ("GET", "HEAD")


@final
@dataclass(frozen=True, slots=True)
class Response:
    """An answer on its way out. A carrier adds what it sends to `served.sent_bytes`."""

    answer: Answer
    served: Served

    @property
    def status(self) -> int:
        """The status code."""
        return self.answer.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send; a cookie among them, as load balancers before real registries set them."""
        return {**self.answer.head(), "Set-Cookie": f"session={planted.COOKIE}"}

    def items(self) -> Iterator[bytes | Break]:
        """The body: bytes in pieces, and where it waits or breaks."""
        return self.answer.items()


@final
@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names."""

    kind: str  # manifests, blobs, tags, referrers, uploads, storage, token, root; "" for nothing known
    repository: str = ""
    name: str = field(default="", repr=False)
    digest: Digest | None = None


@final
class MemoryRegistry:
    """Repositories, a door, faults and a log. Contents, faults, door and switches may change between two requests.

    Whoever may in may also push, unless the registry is `read_only`; a push makes the repository. `referrers` None: no such list.
    `exact_ranges_only`: a range must have both bounds, and end within the blob (ggcr, Artifactory), else 416.
    """

    def __init__(self, access: Access | None = None) -> None:
        self.access: Access = access or Anonymous()
        self.repositories: dict[str, Contents] = {}
        self.uploads = Uploads()
        self.referrers: ReferrersApi | None = None
        self.read_only = False
        self.exact_ranges_only = False
        self.faults = Faults()
        self.log = Log()

    def push(
        self,
        repository: str,
        tag: str | None,
        manifest: bytes,
        blobs: Mapping[Digest, BlobBody] | Mapping[Digest, bytes] | None = None,
        *,
        media_type: str = "",
    ) -> Digest:
        """Stores a manifest or index under `tag` (None: by digest only) with `blobs`, unchecked. Returns the manifest's digest."""
        contents = self.repositories.setdefault(repository, Contents())
        contents.blobs.update((digest, as_body(content)) for digest, content in (blobs or {}).items())
        return contents.add_manifest(manifest, tag, media_type)

    def add_layout(self, root: Path, repository: str) -> None:
        """Serves an OCI layout directory as `repository`; see `Contents.add_layout`."""
        self.repositories.setdefault(repository, Contents()).add_layout(root)

    def bytes_sent(self, digest: Digest | None = None) -> int:
        """Bytes of content sent for `digest`, or for all."""
        return self.log.bytes_sent(digest)

    def requests(self, digest: Digest | None = None) -> tuple[Served, ...]:
        """The requests that asked for `digest`, or all."""
        return self.log.requests(digest)

    def respond(self, request: Request) -> Response:
        """The answer to `request`, faults applied, written to the log. Never raises for what a client may send."""
        target = _target(request.path)
        answer = self._answer(request, target)
        if answer.digest is None:
            answer = replace(answer, digest=target.digest)
        answer = self.faults.apply(request, replace(answer, bodiless=request.method == "HEAD"))
        names = tuple(sorted(request.headers))
        served = Served(request.method, request.path, target.repository, answer.digest, answer.asked, answer.status, names)
        self.log.add(served)
        return Response(answer, served)

    def _answer(self, request: Request, target: _Target) -> Answer:
        if target.kind == "token":
            return self.access.token(request) or _no_page()
        if target.kind == "storage":
            return self._storage(request, target)
        if not target.kind:
            return _no_page()
        refused = self.access.refuse(request, target.repository)
        if refused is not None:
            return refused
        if request.method not in _READING:
            return self._write(request, target)
        if target.kind == "root":
            return Answer.of_bytes(HTTPStatus.OK, b"{}", {"Content-Type": "application/json", **_API_VERSION})
        contents = self.repositories.get(target.repository)
        if contents is None:
            return refusal(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN")
        match target.kind:
            case "manifests":
                return _manifest(request, contents, target.name)
            case "blobs":
                return _blob(request, target.digest, contents.blobs, exact=self.exact_ranges_only)
            case "tags":
                return _tags(request, target.repository, contents)
            case "referrers" if self.referrers is not None:
                return self.referrers.answer(request, contents, target.repository, target.digest)
            case _:
                return _no_page()

    def _write(self, request: Request, target: _Target) -> Answer:
        if self.read_only or (target.kind, request.method) not in _WRITING:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED")
        contents = self.repositories.setdefault(target.repository, Contents())
        if target.kind == "uploads":
            return self.uploads.answer(request, contents, target.repository, target.name)
        answer = put_manifest(request, contents, target.repository, target.name)
        if answer.status != HTTPStatus.CREATED or self.referrers is None:
            return answer
        return replace(answer, headers={**answer.headers, **self.referrers.says(request.body)})

    def _storage(self, request: Request, target: _Target) -> Answer:
        if "authorization" in request.headers:
            return Answer.of_bytes(HTTPStatus.BAD_REQUEST, _TWO_CREDENTIALS, {"Content-Type": "application/xml"})
        blobs = {digest: body for contents in self.repositories.values() for digest, body in contents.blobs.items()}
        return _blob(request, target.digest, blobs)


def _target(path: str) -> _Target:
    if path == "/token":
        return _Target("token")
    if path in ("/v2", "/v2/"):
        return _Target("root")
    match = _UPLOAD.fullmatch(path) or _ROUTE.fullmatch(path) or _STORAGE.fullmatch(path)
    if match is None:
        return _Target("")
    groups = match.groupdict()
    return _Target(groups.get("kind", "storage"), groups.get("repository", ""), groups["name"], _digest(groups["name"]))


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except BadDigest:
        return None


def _manifest(request: Request, contents: Contents, selector: str) -> Answer:
    digest = contents.find(selector)
    if digest is None:
        return refusal(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN")
    stored = contents.manifests[digest]
    if not _accepted(request.headers.get("accept", ""), stored.media_type):
        # Debian's registry does so too: a client that forgets Accept shall notice here.
        return refusal(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", detail=f"Accept does not admit {stored.media_type}")
    headers = {"Content-Type": stored.media_type, "Docker-Content-Digest": str(digest), **_API_VERSION}
    return Answer.of_bytes(HTTPStatus.OK, stored.data, headers)


def _accepted(accept: str, media_type: str) -> bool:
    offers = {offer.partition(";")[0].strip() for offer in accept.split(",")}
    return not accept or "*/*" in offers or media_type in offers


def _blob(request: Request, digest: Digest | None, blobs: Mapping[Digest, BlobBody], *, exact: bool = False) -> Answer:
    if digest is None:
        return refusal(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
    body = blobs.get(digest)
    if body is None:
        return refusal(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN")
    size_bytes = body.size_bytes
    headers = {"Content-Type": _BLOB_TYPE, "Docker-Content-Digest": str(digest), "Accept-Ranges": "bytes", **_API_VERSION}
    whole = Answer(HTTPStatus.OK, headers, body, ByteRange(0, size_bytes), digest)
    bounds = _BYTES.fullmatch(request.headers.get("range", ""))
    if request.method != "GET" or bounds is None or bounds[0] == "bytes=-":
        return whole
    asked = _asked(bounds[1], bounds[2], size_bytes)
    is_exact = bounds[1] and bounds[2] and int(bounds[2]) < size_bytes
    if asked is None or (exact and not is_exact):
        return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size_bytes}"}, digest=digest)
    headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size_bytes}"
    return replace(whole, status=HTTPStatus.PARTIAL_CONTENT, span=asked, asked=asked)


def _asked(first: str, last: str, size_bytes: int) -> ByteRange | None:
    """The range as it can be satisfied, or None. Both bounds as sent: inclusive, either may be missing."""
    if not first:
        start, stop = max(0, size_bytes - int(last)), size_bytes
    else:
        start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    return ByteRange(start, stop) if start < stop else None


def _tags(request: Request, repository: str, contents: Contents) -> Answer:
    """Distribution-spec "Listing Tags": sorted, `n` at most, after `last`, with a Link to what follows."""
    fields = parse_qs(request.query)
    last = fields.get("last", [""])[0]
    tags = sorted(tag for tag in contents.tags if tag > last)
    limit = fields.get("n", [""])[0]
    page = tags[: int(limit)] if limit.isdecimal() else tags
    headers = {"Content-Type": "application/json"}
    if page and len(page) < len(tags):
        headers["Link"] = f'</v2/{repository}/tags/list?n={limit}&last={quote(page[-1])}>; rel="next"'
    return Answer.of_bytes(HTTPStatus.OK, json.dumps({"name": repository, "tags": page}).encode(), headers)


def _no_page() -> Answer:
    return Answer.of_bytes(HTTPStatus.NOT_FOUND, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
