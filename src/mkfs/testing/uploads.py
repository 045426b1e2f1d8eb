"""The writing side of distribution-spec: uploads of blobs in one request, in two, or in chunks; manifests."""

import itertools
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qs

from mkfs.errors import MkfsError
from mkfs.oci.digest import Digest, Verifier
from mkfs.oci.manifest import Index, decode_manifest
from mkfs.testing import planted
from mkfs.testing.answers import Answer, Request
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.contents import Contents
from mkfs.testing.refusals import refusal

PLACE: Final = "/v2/{repository}/blobs/uploads/{id}?_state={state}"


@final
@dataclass(slots=True, eq=False)
class _Upload:
    repository: str
    state: str
    received: bytearray = field(default_factory=bytearray)


@final
class Uploads:
    """The uploads under way at one registry. Any thread may call.

    `place` is what a Location says: it may be relative (the default) or name a host; the state in its query must come back.
    """

    def __init__(self) -> None:
        self.place = PLACE
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._under_way: dict[str, _Upload] = {}

    def answer(self, request: Request, contents: Contents, repository: str, name: str) -> Answer:
        """The answer to POST (`name` is "": a new upload), PATCH and PUT (the upload `name`)."""
        fields = parse_qs(request.query)
        digest = fields.get("digest", [""])[0]
        with self._lock:
            if request.method == "POST":
                if digest:
                    return self._finish(contents, repository, digest, request.body)
                return self._begin(repository)
            upload = self._under_way.get(name)
            if upload is None or upload.repository != repository or fields.get("_state") != [upload.state]:
                return refusal(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
            if request.method == "PATCH":
                return self._go_on(name, upload, request)
            if request.method != "PUT":
                return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED")
            del self._under_way[name]
            return self._finish(contents, repository, digest, bytes(upload.received) + request.body)

    def _begin(self, repository: str) -> Answer:
        number = next(self._numbers)
        name, upload = f"upload-{number}", _Upload(repository, f"{planted.MARK}-state-{number}")
        self._under_way[name] = upload
        return self._accepted(name, upload)

    def _go_on(self, name: str, upload: _Upload, request: Request) -> Answer:
        first = request.headers.get("content-range", "").partition("-")[0]
        if first and first != str(len(upload.received)):
            return refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID")
        upload.received += request.body
        return self._accepted(name, upload)

    def _accepted(self, name: str, upload: _Upload) -> Answer:
        place = self.place.format(repository=upload.repository, id=name, state=upload.state)
        headers = {"Location": place, "Range": f"0-{max(0, len(upload.received) - 1)}", "Docker-Upload-UUID": name}
        return Answer.of_bytes(HTTPStatus.ACCEPTED, b"", headers)

    def _finish(self, contents: Contents, repository: str, digest_text: str, data: bytes) -> Answer:
        try:
            digest = Digest.parse(digest_text)
            verifier = Verifier(digest, len(data))
            verifier.feed(data)
            verifier.finish()
        except MkfsError:
            return refusal(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
        contents.blobs[digest] = MemoryBody(data)
        headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
        return Answer.of_bytes(HTTPStatus.CREATED, b"", headers)


def put_manifest(request: Request, contents: Contents, repository: str, name: str) -> Answer:
    """Stores a manifest under its tag or digest, once all that it names is there. Its subject need not be."""
    digest = Digest.of(request.body)
    media_type = request.headers.get("content-type", "")
    try:
        document = decode_manifest(request.body, media_type)
    except MkfsError as error:
        return refusal(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", detail=error.what)
    if ":" in name and name != str(digest):
        return refusal(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
    if isinstance(document, Index):
        missing = [each.digest for each in document.manifests if each.digest not in contents.manifests]
    else:
        missing = [each.digest for each in (document.config, *document.layers) if each.digest not in contents.blobs]
    if missing:
        return refusal(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN")
    contents.add_manifest(request.body, None if ":" in name else name, media_type)
    headers = {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
    return Answer.of_bytes(HTTPStatus.CREATED, b"", headers)
