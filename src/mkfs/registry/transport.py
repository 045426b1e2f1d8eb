"""One request, one answer: the room's only door to the network.

What goes out: exactly the headers given, `User-Agent`, `Accept-Encoding: identity`; no cookies, no credentials of its own. What
comes in: status, headers and raw bytes; redirects and refusals are answers like any other, decided on by the caller. An open answer
has a slot of its host (`slots`); whoever waits for one holds none, as long as callers close one answer before they ask for the
next.

Atomic between checkpoints: the counters, the slot of an answer, and what retries are left; a host whose budget is whole is not
kept. Cancelling `ask`, or the reading of an answer, closes the connection and gives the slot back before the cancellation leaves
here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol, final

import httpx2
import trio
from msgspec import Struct

from mkfs import __version__
from mkfs.registry.answer import Answer, repeats
from mkfs.registry.budget import RetryBudget
from mkfs.registry.failures import TRANSPORT_ERRORS, unreachable
from mkfs.registry.manners import Manners
from mkfs.registry.retries import ANSWER_SECONDS, CONNECT_SECONDS
from mkfs.registry.slots import Slots
from mkfs.registry.traffic import Traffic, TrafficStatistics
from mkfs.registry.urls import Origin, Url

USER_AGENT: Final = f"mkfs/{__version__}"
# Of the network, but for connecting: how long an answer may take is counted here, for every kind of transport alike.
_TIMEOUTS: Final = {"read": None, "write": None, "pool": None}


class Content(Protocol):
    """A request's body that is too large to be one piece."""

    @property
    def size_bytes(self) -> int:
        """How many bytes `pieces` gives."""

    def pieces(self) -> AsyncIterator[bytes]:
        """All of it from the beginning, in pieces that a slow link takes in some seconds; once more when a request is repeated.
        What it raises ends the request and passes through.
        """


@final
class ClientStatistics(Struct, frozen=True):
    """A moment's counts since the beginning, for `status` and tests."""

    requests: int  # sent, whatever came of them
    received_bytes: int  # of bodies
    retries: int  # of small requests, after a failure
    retries_denied: int  # those that the host's budget had no room for
    redirects: int  # followed
    passed_over: int  # mirrors that had not what was asked for, or failed
    held_back: int  # requests that waited, or were given up, because their host asked to be left alone
    warnings: int  # different ones that hosts gave
    tags_moved: int  # times that a tag which is asked about again came to mean something else
    slot_waits: int  # requests that waited for others to end
    answers: int  # open now, each with a slot
    traffic: TrafficStatistics  # what became of the requests


@final
class Transport:
    """Asks. `inner` is owned: closing this closes it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._manners = Manners()
        self._slots = Slots()
        self._budgets: dict[Origin, RetryBudget] = {}
        self._requests = self._received_bytes = self._redirects = self._passed_over = self._tags_moved = 0
        self._retries = self._retries_denied = 0
        self._traffic = Traffic()

    @asynccontextmanager
    async def ask(
        self,
        url: Url,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        content: bytes | Content = b"",
        answer_seconds: float = ANSWER_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> AsyncGenerator[Answer, None]:
        """Sends one request, waiting for its host's time and for a slot first, and gives its answer.

        Raises `Unreachable`: no connection within `connect_seconds`, no answer within `answer_seconds` after the last piece of
        `content` was taken, or what else goes wrong.
        """
        origin = url.origin
        await self._manners.wait(origin)
        async with self._slots.one(origin):
            self._requests += 1
            begun = trio.current_time()
            try:
                with trio.fail_after(answer_seconds) as patience:

                    def moved() -> None:
                        patience.deadline = trio.current_time() + answer_seconds

                    request = _request(method, url, headers, content, moved=moved, connect_seconds=connect_seconds)
                    response = await self._inner.handle_async_request(request)
            except TRANSPORT_ERRORS as error:
                self._traffic.unanswered(method, cancelled=False)
                raise unreachable(error, origin, seconds=answer_seconds, connect_seconds=connect_seconds) from error
            except BaseException:
                self._traffic.unanswered(method, cancelled=True)
                raise
            self._traffic.answered(method, response.status_code, trio.current_time() - begun)
            shown = headers.get("Authorization", "")
            answer = Answer(url, response, self._received, shown)
            self._manners.heard(answer, origin, lambda text: repeats(text, shown))
            self._answered(origin, answer.status)
            try:
                yield answer
            finally:
                self._traffic.ended(trio.current_time() - begun, broken=answer.broken)
                await answer.aclose()

    def may_retry(self, origin: Origin) -> bool:
        """Whether what failed at `origin` may be tried again, now that it counts as such: see `budget`."""
        allowed = self._budgets.setdefault(origin, RetryBudget()).take()
        self._retries += allowed
        self._retries_denied += not allowed
        return allowed

    def redirected(self) -> None:
        """A redirect is followed."""
        self._redirects += 1

    def passed_over(self) -> None:
        """A mirror did not have what was asked for, or failed."""
        self._passed_over += 1

    def tag_moved(self) -> None:
        """A tag means something else than before."""
        self._tags_moved += 1

    def statistics(self) -> ClientStatistics:
        """A snapshot; cheap enough for every poll."""
        return ClientStatistics(
            requests=self._requests,
            received_bytes=self._received_bytes,
            retries=self._retries,
            retries_denied=self._retries_denied,
            redirects=self._redirects,
            passed_over=self._passed_over,
            held_back=self._manners.held_back,
            warnings=self._manners.warnings,
            tags_moved=self._tags_moved,
            slot_waits=self._slots.waits,
            answers=self._slots.taken,
            traffic=self._traffic.snapshot(),
        )

    def _received(self, count: int) -> None:
        self._received_bytes += count

    def _answered(self, origin: Origin, status: int) -> None:
        budget = self._budgets.get(origin)
        if budget is not None:
            budget.answered(status)
            if budget.is_full:
                del self._budgets[origin]

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._inner.aclose()


def _request(
    method: str,
    url: Url,
    headers: Mapping[str, str],
    content: bytes | Content,
    *,
    moved: Callable[[], None],
    connect_seconds: float,
) -> httpx2.Request:
    origin = url.origin
    address = httpx2.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=url.target.encode("ascii"))
    shown = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    extensions = {"timeout": {"connect": connect_seconds, **_TIMEOUTS}}
    if isinstance(content, bytes):
        return httpx2.Request(method, address, headers=shown, content=content, extensions=extensions)
    shown |= {"Host": origin.authority, "Content-Length": str(content.size_bytes)}
    return httpx2.Request(method, address, headers=shown, stream=_Outgoing(content, moved), extensions=extensions)


@final
class _Outgoing(httpx2.AsyncByteStream):
    """A body on its way out. `moved` is called for each piece that is taken: what moves is not given up."""

    def __init__(self, content: Content, moved: Callable[[], None]) -> None:
        self._pieces = content.pieces()
        self._moved = moved

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._moved()
        return piece
