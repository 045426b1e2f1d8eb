"""The answer to one request, as far as it has come: status, headers, and a body that is received as somebody wants it.

Cancelling the reading of an answer breaks its body, not the answer: `aclose` gives its connection back, or ends it.
"""

import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, final

import httpx2
import trio

from mkfs.errors import BadDocument, Unreachable
from mkfs.oci.registry_error import describe_error
from mkfs.registry.failures import TRANSPORT_ERRORS, unreachable
from mkfs.registry.flow import Flow
from mkfs.registry.lane import LaneBody
from mkfs.registry.ranges import Rest
from mkfs.registry.retries import STALL_BYTES, STALL_SECONDS
from mkfs.registry.urls import Url
from mkfs.units import KIB

# An unread rest up to this size is received so that the connection can be used again; a longer one costs more than a new
# connection.
_REST_LIMIT_BYTES: Final = 64 * KIB
# Closing sends nothing that waits for an answer; a connection that takes longer is dropped where it is.
_CLOSE_SECONDS: Final = 1.0


@final
class Answer:
    """The answer to one request; valid until its context ends. Iterating gives the raw body, up to about a mebibyte at a time.

    `received` is told how many bytes of the body came; `authorization` is the header that was shown.
    """

    def __init__(self, url: Url, response: httpx2.Response, received: Callable[[int], None], authorization: str = "") -> None:
        self.url = url
        self.status = response.status_code
        self.broken = False  # ended before it was complete, or stalled
        self._response = response
        self._received = received
        self._authorization = authorization
        self._body: AsyncIterator[bytes] | None = None
        self._rest = Rest()
        self._flow = Flow()

    def header_values(self, name: str) -> list[str]:
        """The values of all headers called `name`, in order."""
        return self._response.headers.get_list(name)

    def header(self, name: str) -> str:
        """The value of the header `name`; "" where there is none; several joined by commas."""
        return self._response.headers.get(name) or ""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises `Unreachable` when none come for `STALL_SECONDS`, too few for too long (`Flow`), or the connection
        breaks before the end.
        """
        self._keep_flowing()
        began = trio.current_time()
        try:
            if self._body is None:
                if not isinstance(self._response.stream, httpx2.AsyncByteStream):
                    raise TypeError("the body of an asynchronous answer is asynchronous")
                self._body = aiter(self._response.stream)
            with trio.fail_after(STALL_SECONDS):
                piece = await anext(self._body)
        except TRANSPORT_ERRORS as error:
            self.broken = True
            raise unreachable(error, self.url.origin, seconds=STALL_SECONDS, answered=True) from error
        self._flow.came(len(piece), trio.current_time() - began)
        self._received(len(piece))
        return piece

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:
        """See `registry.ranges.BlobStream`. Cancelling may lose bytes."""
        stream = self._response.stream
        if not isinstance(stream, LaneBody):
            return await self._rest.pour(self, target)
        self._keep_flowing()
        began = trio.current_time()
        try:
            with trio.fail_after(STALL_SECONDS):
                count = await stream.receive_into(target, follow)
        except TRANSPORT_ERRORS as error:
            self.broken = True
            raise unreachable(error, self.url.origin, seconds=STALL_SECONDS, answered=True) from error
        self._flow.came(count, trio.current_time() - began)
        self._received(count)
        return count

    def _keep_flowing(self) -> None:
        if self._flow.is_trickle:
            what = f"only {self._flow.size_bytes} bytes in {self._flow.seconds:.0f} s (expected at least {STALL_BYTES})"
            raise Unreachable(what, self.url.origin.authority, "the host or the way to it is overloaded, or holds back")

    async def read(self, limit_bytes: int) -> bytes:
        """All of the body. Raises `Unreachable`, and `BadDocument` as soon as it is longer than `limit_bytes`."""
        data = bytearray()
        async for piece in self:
            data += piece
            if len(data) > limit_bytes:
                raise BadDocument(f"the answer is too large (expected at most {limit_bytes} bytes)", self.url.origin.authority)
        return bytes(data)

    async def explanation(self) -> str:
        """The registry's own words for a refusal, in one line; "" where there are none, or they repeat what it was shown.

        Reads the body, so that the connection can serve the next request.
        """
        try:
            said = describe_error(await self.read(_REST_LIMIT_BYTES))
        except (Unreachable, BadDocument):
            return ""
        return "" if repeats(said, self._authorization) else said

    async def aclose(self) -> None:
        """Gives the connection back, or closes it if the body was not read to its end."""
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            try:
                if isinstance(self._body, AsyncGenerator):
                    await self._body.aclose()
                await self._response.aclose()
            except TRANSPORT_ERRORS:
                return  # nobody waits for anything from it any more

    def __repr__(self) -> str:
        return f"<Answer {self.status} of {self.url}>"


def repeats(text: str, authorization: str) -> bool:
    """Whether `text` holds the token or password of an `Authorization` header."""
    shown = authorization.partition(" ")[2]
    try:
        pair = base64.b64decode(shown, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        pair = ""
    return any(secret in text for secret in (shown, pair.partition(":")[2]) if secret)
