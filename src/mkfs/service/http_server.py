"""A small HTTP/1.1 server for questions without a body: h11 reads and writes, and says what is no HTTP.

Theory. Whoever can connect may be anybody, and nothing he does may cost the mount more than a little: at most `CLIENTS` connections
are open, of which a new one takes the place of the oldest that has not asked yet; each has `ASK_SECONDS` to ask, `ANSWER_SECONDS`
to take its answer, and one request. Nothing leaves a connection's task but cancellation: a defect in an answer is logged, and
status 500.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, final
from urllib.parse import urlsplit

import h11
import trio
from msgspec import Struct

from mkfs.units import KIB

log = logging.getLogger(__name__)

CLIENTS: Final = 16  # a scraper, a kubelet, a person, and room for what hangs
ASK_SECONDS: Final = 5.0  # to send a request of a few hundred bytes
ANSWER_SECONDS: Final = 10.0  # Prometheus' own default for all of a scrape
HEAD_LIMIT_BYTES: Final = 16 * KIB  # of a request's line and headers
_PIECE_BYTES: Final = 4 * KIB
# What a client still sends after its answer is received, within bounds: closing before would take the answer away (RFC 9112, 9.6).
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 64 * KIB
_METHODS: Final = (b"GET", b"HEAD")
_PLAIN: Final = "text/plain; charset=utf-8"


@final
class Reply(Struct, frozen=True):
    """What a request is answered with."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _PLAIN


def saying(text: str, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """A line for a person."""
    return Reply(f"{text}\n".encode(), status)


Answering = Callable[[str, str], Awaitable[Reply | None]]  # of a path and the header `Accept`; None: there is no such path


@final
class HttpServer:
    """Answers GET and HEAD with what `answering` says."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._open = 0
        self._asking: dict[trio.CancelScope, None] = {}  # the oldest first

    async def serve(self, listener: trio.SocketListener) -> None:
        """Runs until it is cancelled; connections end with it, and so does `listener`."""
        await trio.serve_listeners(self.attend, [listener])

    async def attend(self, stream: trio.abc.Stream) -> None:
        """One connection, to its end. Raises nothing but cancellation."""
        if self._open >= CLIENTS:
            if not self._asking:  # all of them are being answered
                await trio.aclose_forcefully(stream)
                return
            oldest = next(iter(self._asking))
            del self._asking[oldest]
            oldest.cancel()
        self._open += 1
        try:
            async with stream:
                await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever asked is gone
        except Exception:
            log.exception("a connection ends: unexpected")
        finally:
            self._open -= 1

    async def _converse(self, stream: trio.abc.Stream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        request: h11.Request | None = None
        reply: Reply | None = None
        with trio.move_on_after(ASK_SECONDS) as scope:
            self._asking[scope] = None
            try:
                request = await _request(http, stream)
            except h11.RemoteProtocolError as error:
                reply = saying("this is no request that is understood here", HTTPStatus(error.error_status_hint))
            finally:
                self._asking.pop(scope, None)
        with trio.move_on_after(ANSWER_SECONDS):
            if request is not None:
                reply = await self._reply(request)
            if reply is None:
                return  # nothing was asked: gone, too slow, or in the way of others
            await stream.send_all(_written(http, request, reply))
            await _linger(stream)

    async def _reply(self, request: h11.Request) -> Reply:
        if request.method not in _METHODS:
            return saying("only GET and HEAD", HTTPStatus.METHOD_NOT_ALLOWED)
        accept = ",".join(value.decode("latin-1") for name, value in request.headers if name == b"accept")
        try:
            path = urlsplit(request.target.decode("ascii")).path
        except ValueError:
            return saying("that is no path", HTTPStatus.BAD_REQUEST)
        try:
            reply = await self._answering(path, accept)
        except Exception:
            log.exception("a question cannot be answered: unexpected")
            return saying("this is a defect: the log has its traceback", HTTPStatus.INTERNAL_SERVER_ERROR)
        return saying("nothing here", HTTPStatus.NOT_FOUND) if reply is None else reply


async def _request(http: h11.Connection, stream: trio.abc.Stream) -> h11.Request | None:
    """The head of a request; None where none came. Raises `h11.RemoteProtocolError`."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(_PIECE_BYTES)))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


def _written(http: h11.Connection, request: h11.Request | None, reply: Reply) -> bytes:
    """A whole answer, as it is sent; no body for HEAD."""
    headers = [
        ("Content-Type", reply.content_type),
        ("Content-Length", str(len(reply.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if reply.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    head = http.send(h11.Response(status_code=reply.status, reason=reply.status.phrase, headers=headers)) or b""
    if request is not None and request.method == b"HEAD":
        return head
    return head + reply.body


async def _linger(stream: trio.abc.Stream) -> None:
    if isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()
    left = _LINGER_BYTES
    with trio.move_on_after(_LINGER_SECONDS):
        while left > 0 and (piece := await stream.receive_some(_PIECE_BYTES)):
            left -= len(piece)
