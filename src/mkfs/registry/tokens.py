"""Access tokens: fetched from the server a registry names, kept until shortly before they end, fetched once for all who wait.

Sources: distribution docs/content/spec/auth/token.md and oauth.md. A token is a bearer's: whoever reads it may use it, so it is
never in a text. A token server's answer is not quoted either, as it may repeat what it was asked with.

Atomic between checkpoints: a key has a flight if and only if somebody fetches for it. Who waits is told the leader's error; if the
leader was cancelled, the next one leads.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, final
from urllib.parse import urlencode

import cachetools
import trio
from msgspec import Struct

from mkfs.errors import BadDocument, MkfsError, NotAuthorised, Unreachable
from mkfs.oci.json import decode_json
from mkfs.registry.answer import Answer
from mkfs.registry.docker_config import Credential
from mkfs.registry.transport import Transport
from mkfs.registry.urls import Url
from mkfs.units import KIB

ANSWER_LIMIT_BYTES: Final = 128 * KIB  # oras-go's limit; real ones have up to some 10 KiB
TOKENS_KEPT: Final = 256  # one per repository and registry in use
DEFAULT_LIFE_SECONDS: Final = 60.0  # token.md: where `expires_in` is missing
LONGEST_LIFE_SECONDS: Final = 24 * 3600.0  # whatever a server says: a wrong number must not outlive a day
# A token must last until the request that carries it has arrived, on a slow link and with a clock that is not ours.
MARGIN_SECONDS: Final = 20.0
MARGIN_SHARE: Final = 0.25  # of the life, where that is shorter
# So long a refused credential is not shown again: readers by the hundred must not lock an account, and one that was opened should
# work soon.
REFUSED_SECONDS: Final = 10.0

CLIENT_ID: Final = "mkfs"  # oauth.md: what calls itself so may be told apart in the server's log
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)  # what a header can carry

# GCR says 404 and JFrog 401 to a POST it does not know, ACR sometimes 400 (containerd core/remotes/docker/auth/fetch.go).
_NO_SUCH_WAY: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@final
class Access(Struct, frozen=True):
    """What a token is for. Equal ones share a token."""

    registry: str
    realm: Url
    service: str
    scope: str


@final
@dataclass(slots=True, eq=False)
class _Token:
    text: str = field(repr=False)
    usable_seconds: float


@final
@dataclass(slots=True, eq=False)
class _Flight:
    landed: trio.Event = field(default_factory=trio.Event)
    brought: bool = False  # a token; neither this nor an error: the leader was cancelled
    error: MkfsError | None = None


def _end(_access: Access, token: _Token, now: float) -> float:
    return now + token.usable_seconds


@final
class Tokens:
    """The tokens of one client. How old they are is told by trio's clock."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: cachetools.TLRUCache[Access, _Token, float] = cachetools.TLRUCache(TOKENS_KEPT, _end, trio.current_time)
        self._flights: dict[Access, _Flight] = {}
        self._refused: cachetools.TTLCache[tuple[Access, Credential | None], NotAuthorised, float] = cachetools.TTLCache(
            TOKENS_KEPT, REFUSED_SECONDS, trio.current_time
        )

    async def get(self, access: Access, credential: Credential | None, refused: str = "") -> str:
        """A token for `access`, kept or fetched with `credential` (None: as anybody); never the `refused` one out of the cache.

        Raises `NotAuthorised`, `Unreachable`. Cancelling leaves the fetch to the others who wait.
        """
        while True:
            kept = self._kept.get(access)
            if kept is not None and kept.text != refused:
                return kept.text
            known = self._refused.get((access, credential))
            if known is not None:
                raise copy.copy(known) from known
            flight = self._flights.get(access)
            if flight is None:
                return await self._lead(access, credential)
            await flight.landed.wait()
            if flight.error is not None:
                raise copy.copy(flight.error) from flight.error
            if flight.brought:
                refused = ""  # what just landed is fresh, even where a server gives the same token to everybody

    def forget(self, access: Access) -> None:
        """Drops the token: it was fetched with credentials that do not hold any more."""
        self._kept.pop(access, None)

    async def _lead(self, access: Access, credential: Credential | None) -> str:
        flight = self._flights[access] = _Flight()
        try:
            token = self._kept[access] = await self._fetch(access, credential)
            flight.brought = True
        except NotAuthorised as error:
            flight.error = self._refused[access, credential] = error
            raise
        except MkfsError as error:
            flight.error = error
            raise
        finally:
            del self._flights[access]
            flight.landed.set()
        return token.text

    async def _fetch(self, access: Access, credential: Credential | None) -> _Token:
        host = access.realm.origin.authority
        status = 0
        for ask, another_way in _ways(access, credential):
            async with self._transport.ask(ask.url, ask.headers, method=ask.method, content=ask.content) as answer:
                if answer.status == HTTPStatus.OK:
                    return await _token(answer, host)
                await answer.explanation()  # for the connection's sake
            status = answer.status
            if status not in another_way:
                break
        if status in _REFUSED:
            shown = "anonymous access" if credential is None else "these credentials"
            raise NotAuthorised(f"the token server {host} refuses {shown} (status {status})", access.registry)
        raise Unreachable(f"the token server {host} answered with status {status}", access.registry)


@final
@dataclass(frozen=True, slots=True)
class _Ask:
    """One way to ask for a token."""

    url: Url
    method: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)


def _ways(access: Access, credential: Credential | None) -> tuple[tuple[_Ask, frozenset[HTTPStatus]], ...]:
    """The ways to ask, best first, each with the answers that mean "not this way". Most servers know GET with a password best, and
    an identity token needs POST; but some have only one of the two, or say so with a refusal.
    """
    fields = {name: value for name, value in (("service", access.service), ("scope", access.scope)) if value}
    if credential is None:
        return ((_get(access, fields), frozenset()),)
    oauth = fields | {"client_id": CLIENT_ID}
    if not credential.identity_token:
        form = oauth | {"grant_type": "password", "username": credential.username, "password": credential.password}
        return (_get(access, fields, credential), _NO_SUCH_WAY), (_post(access, form), frozenset())
    first = _post(access, oauth | {"grant_type": "refresh_token", "refresh_token": credential.identity_token})
    if not credential.username:
        return ((first, frozenset()),)
    as_password = replace(credential, password=credential.identity_token)
    return (first, _NO_SUCH_WAY | _REFUSED), (_get(access, fields, as_password), frozenset())


def _get(access: Access, fields: Mapping[str, str], credential: Credential | None = None) -> _Ask:
    url = access.realm
    url = url.at(f"{url.target}{'&' if '?' in url.target else '?'}{urlencode(fields)}")
    shown = {"Authorization": credential.basic()} if credential else {}
    return _Ask(url, "GET", {"Accept": "application/json", **shown})


def _post(access: Access, form: Mapping[str, str]) -> _Ask:
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return _Ask(access.realm, "POST", headers, urlencode(form).encode("ascii"))


async def _token(answer: Answer, host: str) -> _Token:
    """Reads a token server's answer. Raises `Unreachable`, also where it holds no token."""
    try:
        document = decode_json(await answer.read(ANSWER_LIMIT_BYTES), ANSWER_LIMIT_BYTES, "token")
    except BadDocument:
        raise Unreachable("the token server's answer is no JSON of a sensible size", host) from None  # the cause would quote it
    text = document.get("token") or document.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise Unreachable("the token server's answer holds no token", host)
    said = document.get("expires_in")
    life = float(said) if isinstance(said, int | float) and not isinstance(said, bool) and said > 0 else DEFAULT_LIFE_SECONDS
    life = min(life, LONGEST_LIFE_SECONDS)
    return _Token(text, life - min(MARGIN_SECONDS, life * MARGIN_SHARE))
