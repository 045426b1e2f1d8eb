"""Pushing to a real registry, in the plainest way distribution-spec allows: POST, then PUT with everything; a manifest last."""

import base64
import http.client
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import PIECE_BYTES, BlobBody, as_body

_TIMEOUT_SECONDS = 30


class Pusher:
    """One connection to one registry. `user` is a name with its password."""

    def __init__(self, host: str, user: tuple[str, str] | None = None) -> None:
        self.host = host
        self._headers = {}
        if user is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        self._connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)

    def push(
        self,
        repository: str,
        tag: str,
        manifest: bytes,
        blobs: Mapping[Digest, BlobBody | bytes],
        *,
        media_type: str = OCI_MANIFEST,
    ) -> str:
        """Pushes what is missing and the manifest. Returns the reference by tag."""
        for digest, content in blobs.items():
            self.push_blob(repository, digest, content)
        status, _, body = self._ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": media_type})
        assert status == HTTPStatus.CREATED, (status, body)
        return f"{self.host}/{repository}:{tag}"

    def push_blob(self, repository: str, digest: Digest, content: BlobBody | bytes) -> None:
        """Pushes one blob, unless the repository has it."""
        status, _, _ = self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        if status == HTTPStatus.OK:
            return
        status, headers, body = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == HTTPStatus.ACCEPTED, (status, body)
        place = urlsplit(headers["location"])
        where = f"{place.path}?{place.query}&digest={digest}"
        source = as_body(content)
        length = {"Content-Length": str(source.size_bytes), "Content-Type": "application/octet-stream"}
        status, _, body = self._ask("PUT", where, _pieces(source), length)
        assert status == HTTPStatus.CREATED, (status, body)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a GET: what the registry really says."""
        status, _, body = self._ask("GET", path, headers=headers)
        return status, body

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _ask(
        self, method: str, target: str, body: bytes | Iterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._connection.request(method, target, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def _pieces(body: BlobBody) -> Iterator[bytes]:
    for piece in ByteRange(0, body.size_bytes).pieces(PIECE_BYTES):
        yield body.read(piece)
