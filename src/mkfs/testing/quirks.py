"""What registries of the field are known to do, each as a switch: `QUIRKS["Harbor, an old token"](registry, storage)`.

A quirk changes a registry, and for some the storage host behind it (`STORAGE`), and returns what to call later: when its tokens or
signed addresses have become too old. A client that keeps reading through all of them reads from most registries there are. The
sources of each are in docs/REGISTRIES.md. Tokens are granted to `USERS`, by the registry itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, final

from mkfs.testing import planted
from mkfs.testing.access import Bearer
from mkfs.testing.answers import Answer
from mkfs.testing.faults import Fault, Html200, IgnoreRange, Match, NoContentLength, Redirect, ShortBody, Status, WrongContentType
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer

USERS: Final[Mapping[str, str]] = {"ada": planted.PASSWORD}
STORAGE: Final = f"https://storage.test/storage/{{digest}}?X-Amz-Signature={planted.SIGNATURE}"

Quirk = Callable[[MemoryRegistry, MemoryRegistry], Callable[[], None]]

_BLOBS: Final = "/v2/team/.*/blobs/"
_MANIFESTS: Final = "/v2/.*/manifests/"
_SEVERAL: Final = Match(header="^range: .*,")


@final
@dataclass(frozen=True, slots=True)
class NoRangeUnit:
    """The Content-Range of a 206 without the word `bytes`."""

    def apply(self, answer: Answer, /) -> Answer:
        """The header shortened."""
        headers = {**answer.headers}
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            headers["Content-Range"] = headers["Content-Range"].removeprefix("bytes ")
        return replace(answer, headers=headers)


@final
@dataclass(frozen=True, slots=True)
class NoPromise:
    """The answer says that it knows no ranges, whatever it does about them."""

    def apply(self, answer: Answer, /) -> Answer:
        """The header that says so."""
        return replace(answer, headers={**answer.headers, "Accept-Ranges": "none"})


def _tokens(
    *, too_old: str = "", tells_at_root: bool = False, any_scope: bool = False, refuses: Mapping[str, int] | None = None
) -> Quirk:
    def install(registry: MemoryRegistry, _storage: MemoryRegistry) -> Callable[[], None]:
        issuer = TokenIssuer(USERS, realm="https://registry.test/token", refuses=refuses)
        registry.access = Bearer(issuer, too_old=too_old, tells_at_root=tells_at_root, any_scope=any_scope)
        return issuer.revoke

    return install


def _faults(*faults: Fault) -> Quirk:
    def install(registry: MemoryRegistry, _storage: MemoryRegistry) -> Callable[[], None]:
        for fault in faults:
            registry.faults.install(fault)
        return _nothing

    return install


def _stored_elsewhere(*later: Fault, head: int = 0, url: str = STORAGE, code: int = 307, method: str = "") -> Quirk:
    """Blobs at a storage host, for requests of `method`. `head`: what the storage answers to HEAD; `later`: what it answers when
    addresses are too old.
    """

    def install(registry: MemoryRegistry, storage: MemoryRegistry) -> Callable[[], None]:
        registry.repositories["downloads"] = registry.repositories["team/model"]
        registry.faults.install(Fault(Match(method, path=_BLOBS), Redirect(url, code)))
        if head:
            storage.faults.install(Fault(Match(method="HEAD"), Status(head)))

        def too_old() -> None:
            for fault in later:
                storage.faults.install(fault)

        return too_old

    return install


def _exact_ranges_only(registry: MemoryRegistry, _storage: MemoryRegistry) -> Callable[[], None]:
    registry.exact_ranges_only = True
    return _nothing


def _nothing() -> None:
    """This one does not grow old."""


def _expired(status: int) -> Fault:
    return Fault(Match(method="GET"), Status(status), times=1)


QUIRKS: Final[Mapping[str, Quirk]] = {
    # Who gets in
    "Harbor, an old token": _tokens(too_old="basic"),
    "ECR Public, an old token": _tokens(too_old="400"),
    "Docker Hub, an old token": _tokens(),
    "Artifactory, HEAD": _faults(Fault(Match(method="HEAD"), Status(401))),
    "JFrog, no POST for tokens": _tokens(refuses={"POST": 401}),
    "GCR, no POST for tokens": _tokens(refuses={"POST": 404}),
    "ACR, no POST for tokens": _tokens(refuses={"POST": 400}),
    "GCR, a refusal without a challenge": _tokens(tells_at_root=True),
    "Gitea, any scope": _tokens(any_scope=True),
    "a token server without GET": _tokens(refuses={"GET": 405}),
    # Ranges
    "Artifactory, ranges promised and ignored": _faults(Fault(Match(path=_BLOBS), IgnoreRange())),
    "Docker Hub, ranges now and then": _faults(
        Fault(Match(path=_BLOBS), IgnoreRange(), times=1), Fault(Match(path=_BLOBS, nth=3), IgnoreRange(), times=1)
    ),
    "distribution as a cold proxy": _faults(Fault(Match(path=_BLOBS), IgnoreRange(), times=1)),
    "Harbor as a cold proxy": _faults(
        Fault(Match(method="HEAD", path=_BLOBS), Status(404)),
        Fault(Match(method="GET", path=_BLOBS), IgnoreRange(), times=2),
        Fault(Match(method="GET", path=_BLOBS), NoContentLength(), times=2),
    ),
    "Harbor, a web page for a blob": _faults(Fault(Match(method="GET", path=_BLOBS), Html200(), times=1)),
    "ranges denied and given": _faults(Fault(Match(path=_BLOBS), NoPromise())),
    "manifests know no ranges": _faults(Fault(Match(path=_MANIFESTS), IgnoreRange())),
    "manifests refuse ranges": _faults(Fault(Match(path=_MANIFESTS, header="^range: "), Status(400))),
    "exact ranges only": _exact_ranges_only,
    "distribution, an empty body": _faults(Fault(Match(method="GET", path=_BLOBS), ShortBody(0), times=1)),
    "no Content-Length": _faults(Fault(Match(), NoContentLength())),
    "Nexus, no unit of ranges": _faults(Fault(Match(path=_BLOBS), NoRangeUnit())),
    "Nexus, If-Range": _faults(Fault(Match(header="^if-range: "), Status(412))),
    "zot, no range from the end": _faults(Fault(Match(header="^range: bytes=-"), Status(416))),
    "GCS, several ranges": _faults(Fault(_SEVERAL, Status(400))),
    "GHCR, several ranges": _faults(Fault(_SEVERAL, Status(501, body=b"Unsupported client range"))),
    "CloudFront, several ranges": _faults(Fault(_SEVERAL, Status(206, {"Content-Type": "multipart/byteranges; boundary=a:b"}))),
    "Gitea, a wrong type for blobs": _faults(Fault(Match(path=_BLOBS), WrongContentType("text/html"))),
    # Blobs elsewhere
    "S3, an address for GET only": _stored_elsewhere(_expired(403), head=403),
    "GHCR, HEAD of the backend": _stored_elsewhere(_expired(403), head=403, code=302),
    "GCR, HEAD without a Location": _stored_elsewhere(_expired(403), head=403, method="GET"),
    "Quay, addresses for a minute": _stored_elsewhere(_expired(403), head=403, code=302),
    "R2, an old address": _stored_elsewhere(_expired(400), head=405),
    "a storage that says 401": _stored_elsewhere(_expired(401)),
    "GAR, a relative address": _stored_elsewhere(url="/v2/downloads/blobs/{digest}", code=302),
}
