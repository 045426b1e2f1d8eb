"""Writing to a repository: blobs, manifests, and the list of referrers where the registry keeps none.

A blob goes up in the plainest way there is, which every registry knows: POST for a place, PUT of everything there
(distribution-spec "Pushing a blob monolithically"). The place may be relative, carry a query of its own, or be at another host,
which then gets no credentials. Nothing is changed unless the registry said so: what was half sent is an upload that it forgets.

The list under a fallback tag is read, changed and written whole, and no registry locks it meanwhile. So it is read once more
afterwards, past caches: where our entry is missing, somebody else wrote at the same time, and it is added again.
"""

import io
import random
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import BinaryIO, Final, final
from urllib.parse import quote

import trio

from mkfs.errors import BadDocument, Mismatch, MkfsError, NotAuthorised, NotFound, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest, Verifier
from mkfs.oci.manifest import decode_manifest
from mkfs.oci.media_types import OCI_INDEX
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import artifact_type_of, fallback_tag, with_referrer
from mkfs.registry.answer import Answer
from mkfs.registry.exchange import Exchange
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.hosts import check_redirect
from mkfs.registry.manifests import claimed_digest, read_manifest
from mkfs.registry.referrers import Referrers
from mkfs.registry.replies import refusal
from mkfs.registry.urls import Url
from mkfs.units import KIB

PIECE_BYTES: Final = 256 * KIB  # a piece taken starts the wait for an answer anew: its 25 s are enough at 10 KiB/s
LIST_TRIES: Final = 5  # to add an entry to a list that others change, too
_LIST_PAUSE_SECONDS: Final = 0.5  # at most, before the next of them: two that met must not meet again

_STORED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})  # 201, but for some
_NO_UPLOADS: Final = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


@final
class Pushes:
    """Writes to one repository. Any number may run at once."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._name = f"{exchange.registry}/{exchange.repository}"

    async def push_blob(self, blob: Descriptor, content: bytes | BinaryIO) -> None:
        """See `Repository.push_blob`."""
        upload = _Upload(blob, content)

        async def work() -> None:
            if not await self._has(blob):
                await self._send(await self._place(blob), upload)

        await self._exchange.persist(work)

    async def push_manifest(self, data: bytes, media_type: str, tag: str | None) -> Digest:
        """See `Repository.push_manifest`."""
        document = decode_manifest(data, media_type)
        pushed = Descriptor(media_type, Digest.of(data), len(data), document.annotations, artifact_type_of(document))
        registry_lists_it = await self._put_manifest(data, media_type, tag or str(pushed.digest))
        if document.subject is not None and not registry_lists_it:
            await self._list(document.subject.digest, pushed)
        return pushed.digest

    async def _has(self, blob: Descriptor) -> bool:
        """Whether the repository says that it has the blob; a registry that will not say is sent it."""
        try:
            async with self._exchange.ask(self._exchange.url("blobs", str(blob.digest)), {}, method="HEAD") as answer:
                return answer.status == HTTPStatus.OK and answer.header("Content-Length") == str(blob.size_bytes)
        except NotAuthorised:
            return False

    async def _place(self, blob: Descriptor) -> Url:
        """Where the registry wants the blob."""
        async with self._exchange.ask(self._exchange.url("blobs/uploads", ""), {}, method="POST") as answer:
            said = await answer.explanation()
        if answer.status != HTTPStatus.ACCEPTED:
            raise self._refused(answer, said)
        try:
            location = answer.header("Location")
            if not location:
                raise ValueError("it names none")
            place = answer.url.join(location)
        except ValueError as error:
            raise Hopeless(f"the registry names no place to upload to ({error})", answer.url.origin.authority) from error
        check_redirect(answer.url, place)
        return place.at(f"{place.target}{'&' if '?' in place.target else '?'}digest={quote(str(blob.digest), safe='')}")

    async def _send(self, place: Url, upload: "_Upload") -> None:
        headers = {"Content-Type": "application/octet-stream"}
        async with self._exchange.ask(place, headers, method="PUT", content=upload) as answer:
            said = await answer.explanation()
        if answer.status not in _STORED:
            raise self._refused(answer, said)

    async def _put_manifest(self, data: bytes, media_type: str, name: str) -> bool:
        """Stores it; whether the registry says that it will list it among the referrers of its subject."""

        async def work() -> bool:
            url, headers = self._exchange.url("manifests", name), {"Content-Type": media_type}
            async with self._exchange.ask(url, headers, method="PUT", content=data) as answer:
                said = await answer.explanation()
            if answer.status not in _STORED:
                raise self._refused(answer, said)
            claimed = claimed_digest(answer)
            if claimed is not None and claimed.algorithm == "sha256" and claimed != Digest.of(data):
                raise Mismatch(f"the registry stored something else (got {claimed}, expected {Digest.of(data)})", self._name)
            return bool(answer.header("OCI-Subject"))

        return await self._exchange.persist(work)

    async def _list(self, subject: Digest, pushed: Descriptor) -> None:
        """Sees to it that `pushed` is found by who asks for referrers of `subject`."""
        listed = await Referrers(self._exchange).from_api(subject, pushed.artifact_type)
        if listed is not None and any(entry.digest == pushed.digest for entry in listed):
            return  # ggcr's registry lists them and does not say so
        tag = fallback_tag(subject)
        reference = Reference(self._exchange.registry, self._exchange.repository, tag)
        for number in range(LIST_TRIES + 1):
            if number > 1:
                await trio.sleep(random.uniform(0, _LIST_PAUSE_SECONDS))  # noqa: S311 - no secret
            try:
                longer = with_referrer(await self._list_under(reference), pushed)
            except BadDocument as error:
                where = f"{reference}; {pushed.digest} was pushed, but nobody will find it as a referrer"
                raise BadDocument(error.what, where, f"remove the tag {tag} if nobody needs it") from error
            if longer is None:
                return
            if number < LIST_TRIES:
                await self._put_manifest(longer, OCI_INDEX, tag)
        raise Unreachable("somebody else changes the list of referrers all the time", str(reference), "push again")

    async def _list_under(self, reference: Reference) -> bytes | None:
        try:
            return (await read_manifest(self._exchange, reference, fresh=True)).data
        except NotFound:
            return None

    def _refused(self, answer: Answer, said: str) -> MkfsError:
        """The error for an upload that was not taken."""
        host = answer.url.origin.authority
        said = said if answer.url.origin == self._exchange.origin else ""
        about = f": {said}" if said else f" (status {answer.status})"
        if answer.status == HTTPStatus.NOT_FOUND:
            return NotFound(f"nothing can be pushed to {self._name}{about}", host, "some registries want the repository made first")
        if answer.status in _NO_UPLOADS:
            return Hopeless(f"the registry takes no uploads to {self._name}{about}", host, "is it a mirror, or read-only?")
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Hopeless(f"too large for the registry, or for a proxy before it{about}", host)
        return refusal(answer, said, f"an upload to {self._name}", host)


@final
class _Upload:
    """A blob on its way: a `transport.Content`."""

    def __init__(self, blob: Descriptor, content: bytes | BinaryIO) -> None:
        self._blob, self._content = blob, content
        self.size_bytes = blob.size_bytes

    def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from the beginning."""
        return _Pieces(self._content, Verifier(self._blob.digest, self.size_bytes))


@final
class _Pieces:
    """The bytes of a source, checked on their way: a source that is not what its descriptor says ends in `Mismatch`, not in a
    riddle of the registry's.
    """

    def __init__(self, content: bytes | BinaryIO, verifier: Verifier) -> None:
        self._in_memory = isinstance(content, bytes)
        self._file = io.BytesIO(content) if isinstance(content, bytes) else content
        self._verifier = verifier
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises `Mismatch`; `MkfsError` where the file cannot be read."""
        if self._in_memory:
            await trio.lowlevel.checkpoint()
            piece = self._read()
        else:
            piece = await trio.to_thread.run_sync(self._read)
        if not piece:
            self._verifier.finish()
            raise StopAsyncIteration
        self._verifier.feed(piece)
        return piece

    def _read(self) -> bytes:
        try:
            if not self._begun:
                self._file.seek(0)
                self._begun = True
            return self._file.read(PIECE_BYTES)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise MkfsError(f"what is to be pushed cannot be read ({reason})") from error
