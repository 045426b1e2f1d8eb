"""A request to a registry, answered: refusals met with credentials, redirects followed by hand.

Rules of this file (facts on CVE-2020-15157 and its kin): `Authorization` goes to the registry's own origin and nowhere else, be
it another port or scheme of the same host. A redirect is followed only where `hosts.check_redirect` allows it, at most `HOPS` in
a row. An answer is closed before the next request is sent, so nobody waits for a slot while holding one.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, final

from mkfs.errors import Unreachable
from mkfs.oci.challenge import parse_challenges
from mkfs.registry.auth import TRIES, Authority, Refusal
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.hosts import check_redirect
from mkfs.registry.transport import Answer, Transport
from mkfs.registry.urls import Origin, Url

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
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Exchange:
    """Requests for one repository. Any number may run at once."""

    def __init__(self, transport: Transport, origin: Origin, authority: Authority) -> None:
        self._transport, self._origin, self._authority = transport, origin, authority

    @asynccontextmanager
    async def ask(self, url: Url, headers: Mapping[str, str], *, method: str = "GET") -> AsyncGenerator[Answer, None]:
        """The answer at the end of the redirects that begin at `url`: never a redirect, and never a 401 or 403 of the registry
        itself. `method`: GET or HEAD.

        Raises `NotAuthorised` when the registry refuses what we can show, `Unreachable` when there is no answer or a redirect
        may not be followed.
        """
        for _ in range(HOPS + 1):
            known = url.origin == self._origin
            opened = self._as_known(url, headers, method) if known else self._transport.ask(url, headers, method=method)
            async with opened as answer:
                if answer.status not in _REDIRECTS:
                    yield answer
                    return
                await answer.explanation()
            target = _target(answer)
            check_redirect(url, target)
            self._transport.redirected()
            url = target
        raise Hopeless(f"more than {HOPS} redirects in a row", self._origin.authority)

    @asynccontextmanager
    async def _as_known(self, url: Url, headers: Mapping[str, str], method: str) -> AsyncGenerator[Answer, None]:
        """Asks the registry itself, showing what it wants to see."""
        showing = await self._authority.present()
        for tried in range(TRIES):
            shown = {"Authorization": showing.header} if showing.header else {}
            async with self._transport.ask(url, {**headers, **shown}, method=method) as answer:
                if answer.status not in _REFUSALS:
                    yield answer
                    return
                said = await answer.explanation()
            refusal = Refusal(answer.status, parse_challenges(answer.header_values("WWW-Authenticate")), said)
            showing = await self._authority.after(refusal, showing, first=tried == 0)
        raise Unreachable("the registry keeps asking for credentials that it was shown", self._origin.authority)


def _target(answer: Answer) -> Url:
    location = answer.header("Location")
    try:
        if not location:
            raise ValueError("to nowhere")
        return answer.url.join(location)
    except ValueError as error:
        raise Hopeless(f"redirect that leads nowhere ({error})", answer.url.origin.authority) from error
