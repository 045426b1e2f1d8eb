"""A token issuer as distribution's documents describe it (docs/content/spec/auth: token.md, oauth.md, scope.md).

GET with or without Basic, POST with a password or a refresh token. Actions are `pull` and `push`. What is granted is what was asked
**and** what the user may: a 200 from here can carry a token that opens nothing. Tokens are random, live in memory, never appear in
a log or a repr, and can be searched for (`planted`).
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qs

from mkfs.testing import planted
from mkfs.testing.answers import Answer, Request
from mkfs.testing.credentials import basic_user, right_password
from mkfs.testing.refusals import refusal

# token.md: "if unspecified, this defaults to 60 seconds".
UNSAID_LIFE_SECONDS: Final = 60.0

_ANONYMOUS: Final = ""


@final
@dataclass(frozen=True, slots=True)
class _Grant:
    actions: frozenset[tuple[str, str]]  # repository and action
    expires: float  # on the issuer's clock


@final
class TokenIssuer:
    """Grants tokens, and knows those it granted. Any thread may call.

    `users` maps names to passwords. `readers` maps a repository to those who may read it ("" is whoever does not sign in); one that
    is not in it is for all known users, and for everybody if `anonymous`. `writers` says the same of pushing, which nobody may who
    did not sign in. `expires_in_seconds` None says nothing, which means 60.
    `realm` is where clients are sent for tokens; by default `/token` at the host they spoke to. `refuses` maps methods to a status
    that is all they get: GCR says 404 to POST, JFrog 401, ACR sometimes 400. `now` is the clock, in seconds: trio's, where time
    shall jump.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
        readers: Mapping[str, frozenset[str]] | None = None,
        writers: Mapping[str, frozenset[str]] | None = None,
        service: str = "registry.test",
        realm: str = "",
        expires_in_seconds: int | None = 300,
        refuses: Mapping[str, int] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.expires_in_seconds = expires_in_seconds
        self._users = users or {}
        self._anonymous = anonymous
        self._readers = readers or {}
        self._writers = writers or {}
        self._realm = realm
        self._refuses = refuses or {}
        self._now = now
        self._lock = threading.Lock()
        self._grants: dict[str, _Grant] = {}
        self._refresh: dict[str, str] = {}  # refresh token -> user

    def realm_for(self, request: Request) -> str:
        """The URL of the token endpoint, for whoever sent `request`."""
        return self._realm or f"http://{request.headers.get('host', self.service)}/token"

    def revoke(self) -> None:
        """No token granted so far opens anything from now on: `invalid_token`. Refresh tokens stay."""
        with self._lock:
            self._grants.clear()

    def revoke_refresh_tokens(self) -> None:
        """No refresh token granted so far is worth anything from now on."""
        with self._lock:
            self._refresh.clear()

    def refresh_token(self, user: str) -> str:
        """A refresh token for `user`, as `docker login` would have stored it (`identitytoken`)."""
        token = planted.token()
        with self._lock:
            self._refresh[token] = user
        return token

    def objection(self, authorization: str, repository: str, action: str = "pull") -> str | None:
        """Why this header does not allow `action` in `repository` ("": any valid token opens that); None: it does.

        The reason is RFC 6750's error code, or "" where there is no token at all.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return ""
        with self._lock:
            grant = self._grants.get(token)
        if grant is None or grant.expires <= self._now():
            return "invalid_token"
        return None if not repository or (repository, action) in grant.actions else "insufficient_scope"

    def answer(self, request: Request) -> Answer:
        """The token endpoint."""
        if request.method in self._refuses:
            return Answer.of_bytes(self._refuses[request.method], b"page not found\n", {"Content-Type": "text/plain"})
        if request.method == "POST":
            return self._answer_post(request)
        fields = parse_qs(request.query)
        user = basic_user(request, self._users) if "authorization" in request.headers else _ANONYMOUS
        if user is None:
            return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f'Basic realm="{self.service}"'})
        offline = fields.get("offline_token") == ["true"]
        return self._grant(user, fields.get("scope", []), refresh_token=self.refresh_token(user) if offline and user else "")

    def _answer_post(self, request: Request) -> Answer:
        fields = {name: values[0] for name, values in parse_qs(request.body.decode("ascii", "replace")).items()}
        user, token = fields.get("username", ""), ""
        match fields.get("grant_type"):
            case "password":
                if not right_password(self._users, user, fields.get("password", "")):
                    return _oauth_error("invalid_grant")
                token = self.refresh_token(user) if fields.get("access_type") == "offline" else ""
            case "refresh_token":
                token = fields.get("refresh_token", "")
                with self._lock:
                    owner = self._refresh.get(token)
                if owner is None:
                    return _oauth_error("invalid_grant")
                user = owner
            case _:
                return _oauth_error("unsupported_grant_type")
        return self._grant(user, fields.get("scope", "").split(), refresh_token=token)

    def _grant(self, user: str, scopes: list[str], *, refresh_token: str) -> Answer:
        asked = (pair for text in scopes for pair in asked_of(text))
        actions = frozenset((name, action) for name, action in asked if self._may(user, name, action))
        token = planted.token()
        life = self.expires_in_seconds
        expires = self._now() + (UNSAID_LIFE_SECONDS if life is None else life)
        with self._lock:
            self._grants[token] = _Grant(actions, expires)
        document: dict[str, object] = {"token": token, "access_token": token}
        if life is not None:
            document["expires_in"] = life
        if refresh_token:
            document["refresh_token"] = refresh_token
        return Answer.of_bytes(HTTPStatus.OK, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _may(self, user: str, repository: str, action: str) -> bool:
        named = (self._readers if action == "pull" else self._writers).get(repository)
        if named is not None:
            return user in named
        return user != _ANONYMOUS or (self._anonymous and action == "pull")


def asked_of(scope: str) -> Iterator[tuple[str, str]]:
    """The repository and each action that `type:name:actions` asks for. The name may hold colons itself (scope.md)."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    if kind == "repository" and name:
        yield from ((name, action) for action in actions.split(","))


def _oauth_error(code: str) -> Answer:
    return Answer.of_bytes(HTTPStatus.BAD_REQUEST, json.dumps({"error": code}).encode(), {"Content-Type": "application/json"})
