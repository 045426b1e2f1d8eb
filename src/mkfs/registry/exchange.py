"""A request to a registry, answered: refusals met with credentials, redirects followed by hand.

Rules of this file (CVE-2020-15157 and its kin): `Authorization` goes to the registry's own origin and nowhere else, be
it another port or scheme of the same host. A redirect is followed only where `hosts.check_redirect` allows it, at most `HOPS` in
a row; one that would turn an upload into a GET is none. An answer is closed before the next request is sent, so nobody waits for a
slot while holding one.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeVar, final
from urllib.parse import quote

from mkfs.errors import Unreachable
from mkfs.oci.challenge import Challenge, parse_challenges
from mkfs.registry.answer import Answer
from mkfs.registry.auth import TRIES, Authority, Refusal
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.hosts import check_redirect
from mkfs.registry.retries import ANSWER_SECONDS, CONNECT_SECONDS, MIRROR_ANSWER_SECONDS, persist
from mkfs.registry.routes import Route
from mkfs.registry.transport import Content, Transport
from mkfs.registry.urls import Url

T = TypeVar("T")

HOPS: Final = 5  # registry, its own front door, a storage gateway, the storage: real chains have up to three

_REDIRECTS: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_KEEP_THE_METHOD: Final = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})  # RFC 9110, 15.4
_READING: Final = frozenset({"GET", "HEAD"})
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Exchange:
    """Requests for one repository, reading it or writing to it. Any number may run at once.

    Not `patient`: what fails is not tried again, and an answer is waited for only `MIRROR_ANSWER_SECONDS`, as there is somebody
    else to ask.
    """

    def __init__(self, transport: Transport, authority: Authority, route: Route, *, patient: bool = True) -> None:
        self._transport, self._authority, self._route, self._patient = transport, authority, route, patient
        self.registry, self.repository, self.origin = route.registry, route.repository, route.origin

    def url(self, kind: str, name: str, query: str = "") -> Url:
        """The address of a manifest, blob, list or upload of the repository. `name` and `query` are sent as they are."""
        namespace = f"ns={quote(self._route.namespace, safe='')}" if self._route.namespace else ""
        query = "&".join(part for part in (query, namespace) if part)
        return Url(self.origin, f"{self._route.root}/{self.repository}/{kind}/{name}{'?' if query else ''}{query}")

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """See `retries.persist`."""
        return await (persist(work, lambda: self._transport.may_retry(self.origin)) if self._patient else work())

    @asynccontextmanager
    async def ask(
        self,
        url: Url,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        content: bytes | Content = b"",
        elsewhere: bool = True,
    ) -> AsyncGenerator[Answer, None]:
        """The answer at the end of the redirects that begin at `url`: never a redirect, and never a 401 or 403 of the registry
        itself. Without `elsewhere` a redirect to another origin is not followed, but is the answer.

        Raises `NotAuthorised` when the registry refuses what we can show, `Unreachable` when there is no answer or a redirect
        may not be followed.
        """
        for _ in range(HOPS + 1):
            known = url.origin == self.origin
            opened = self._as_known if known else self._ask
            async with opened(url, headers, method=method, content=content) as answer:
                if answer.status not in _REDIRECTS:
                    yield answer
                    return
                target = _target(answer)
                if not elsewhere and target.origin != url.origin:
                    yield answer
                    return
                await answer.explanation()
            if method not in _READING and answer.status not in _KEEP_THE_METHOD:
                raise Hopeless(f"redirect that makes no {method} (status {answer.status})", url.origin.authority)
            check_redirect(url, target)
            self._transport.redirected()
            url = target
        raise Hopeless(f"more than {HOPS} redirects in a row", self.origin.authority)

    @asynccontextmanager
    async def _as_known(
        self, url: Url, headers: Mapping[str, str], *, method: str, content: bytes | Content
    ) -> AsyncGenerator[Answer, None]:
        """Asks the registry itself, showing what it wants to see."""
        showing = await self._authority.present()
        for tried in range(TRIES):
            shown = {"Authorization": showing.header} if showing.header else {}
            merged = {**dict(self._route.headers), **headers, **shown}
            async with self._ask(url, merged, method=method, content=content) as answer:
                # ECR Public answers 400 to a token that is too old; where a fresh one gets the same, it means what it says.
                too_old = answer.status == HTTPStatus.BAD_REQUEST and showing.is_token and tried == 0
                if answer.status not in _REFUSALS and not too_old:
                    yield answer
                    return
                said = await answer.explanation()
            challenges = parse_challenges(answer.header_values("WWW-Authenticate"))
            if answer.status == HTTPStatus.UNAUTHORIZED and not challenges and not showing.header:
                challenges = await self._asked_at_the_door()
            refusal = Refusal(answer.status, challenges, said)
            showing = await self._authority.after(refusal, showing, first=tried == 0)
        raise Unreachable("the registry keeps asking for credentials that it was shown", self.origin.authority)

    async def _asked_at_the_door(self) -> tuple[Challenge, ...]:
        """What the API's root asks for: where GCR tells what it does not tell with its refusals."""
        async with self._ask(Url(self.origin, f"{self._route.root}/"), {}) as answer:
            await answer.explanation()  # for the connection's sake
        return parse_challenges(answer.header_values("WWW-Authenticate"))

    def _ask(
        self, url: Url, headers: Mapping[str, str], *, method: str = "GET", content: bytes | Content = b""
    ) -> AbstractAsyncContextManager[Answer]:
        return self._transport.ask(
            url,
            headers,
            method=method,
            content=content,
            answer_seconds=ANSWER_SECONDS if self._patient else MIRROR_ANSWER_SECONDS,
            connect_seconds=self._route.connect_seconds if url.origin == self.origin else CONNECT_SECONDS,
        )


def _target(answer: Answer) -> Url:
    location = answer.header("Location")
    try:
        if not location:
            raise ValueError("to nowhere")
        return answer.url.join(location)
    except ValueError as error:
        raise Hopeless(f"redirect that leads nowhere ({error})", answer.url.origin.authority) from error
