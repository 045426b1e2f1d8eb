"""What to show a registry so that it lets us into one repository: nothing, a password, or a token for `repository:NAME:ACTIONS`.

A registry is first asked without credentials; its 401 says what it wants (RFC 9110, 11.6). That is remembered, so later requests
carry the right header at once. What was refused is never shown again: after a refusal the next thing to show is a fresh token, then
what the credentials file says now (somebody may have logged in meanwhile), then nothing: `NotAuthorised`.

Over plain HTTP that nobody asked for (this machine's own hosts) credentials are not shown at all: any process on the machine may
own the port.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final

from msgspec import Struct

from mkfs.errors import MkfsError, NotAuthorised, Unreachable
from mkfs.oci.challenge import Challenge
from mkfs.registry.credentials import Credentials
from mkfs.registry.docker_config import Credential
from mkfs.registry.hosts import check_realm
from mkfs.registry.tokens import Access, Tokens
from mkfs.registry.urls import Origin, Url

TRIES: Final = 4  # of one request: as nobody, with a kept token, with a fresh one, with what a changed file says

_PLAIN_HTTP_HINT: Final = "credentials go over plain HTTP only with --plain-http"


@final
@dataclass(frozen=True, slots=True)
class Showing:
    """What one request shows: the value of `Authorization`, and the credential it was made from. Without either: nobody."""

    header: str = field(default="", repr=False)
    credential: Credential | None = None

    @property
    def is_token(self) -> bool:
        """Whether it is a token, which may have become too old."""
        return self.header.startswith("Bearer ")


NOBODY: Final = Showing()


@final
class Refusal(Struct, frozen=True):
    """A 401 or 403 of the registry, or a 400 that may mean one. `said` is one line of its own words, or ""."""

    status: int
    challenges: tuple[Challenge, ...]
    said: str = ""


@final
class Authority:
    """Decides for the requests of one repository. Any number may ask at once; tokens are fetched once for all.

    `actions` is what a token is asked for: `pull`, or `pull,push` (distribution docs/content/spec/auth/scope.md).
    """

    def __init__(
        self,
        *,
        registry: str,
        repository: str,
        origin: Origin,
        plain_http: bool,
        credentials: Credentials,
        tokens: Tokens,
        actions: str = "pull",
    ) -> None:
        self.registry, self.repository, self.origin = registry, repository, origin
        self._scope = f"repository:{repository}:{actions}"
        self._credentials, self._tokens = credentials, tokens
        self._private = origin.scheme == "https" or plain_http
        self._way: Access | str = ""  # what the registry wants: a token for this access, "basic", or "" while it never asked

    async def present(self) -> Showing:
        """What to show with a new request. Raises `NotAuthorised`, `Unreachable` where a token had to be fetched."""
        if not self._way:
            return NOBODY
        try:
            return await self._showing(await self._credential())
        except Unreachable:
            self._way = ""  # a token server that moved: the registry says where to
            raise

    async def after(self, refusal: Refusal, refused: Showing, *, first: bool) -> Showing:
        """What to show now that `refused` was; `first`: by the first answer to this request. Raises `NotAuthorised`,
        `Unreachable`.
        """
        credential = refused.credential
        if self._learn(refusal, refused) and first:
            credential = await self._credential()
            showing = await self._showing(credential, refused)
            if showing.header not in ("", refused.header):
                return showing
        changed = await self._credential_again(credential)
        if self._way and changed != credential:
            if isinstance(self._way, Access):
                self._tokens.forget(self._way)
            return await self._showing(changed)
        about = f": {refusal.said}" if refusal.said else f" (status {refusal.status})"
        raise await self._refused(f"the registry refuses access to {self.repository}{about}")

    def _learn(self, refusal: Refusal, refused: Showing) -> bool:
        """Takes over what the registry wants; whether a 401 said so, or what is known already may be tried afresh."""
        if refusal.status != HTTPStatus.UNAUTHORIZED:
            return isinstance(self._way, Access) and refused.is_token
        for challenge in refusal.challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                self._way = self._access(challenge)
                return True
        if isinstance(self._way, Access) and refused.is_token:
            return True  # Harbor offers Basic to a token that is too old
        if any(challenge.scheme == "basic" for challenge in refusal.challenges):
            self._way = "basic"
            return True
        return False

    def _access(self, challenge: Challenge) -> Access:
        try:
            realm = Url.parse(challenge.parameters["realm"])
        except ValueError as error:
            raise NotAuthorised(f"the registry names a token server that is {error}", self.registry) from error
        check_realm(self.origin, realm)
        return Access(self.registry, realm, challenge.parameters.get("service", ""), self._scope)

    async def _credential(self) -> Credential | None:
        return await self._credentials.lookup(self.registry, self.repository) if self._private else None

    async def _credential_again(self, refused: Credential | None) -> Credential | None:
        return await self._credentials.lookup_again(self.registry, self.repository, refused) if self._private else None

    async def _showing(self, credential: Credential | None, refused: Showing = NOBODY) -> Showing:
        if isinstance(self._way, Access):
            return await self._bearer(self._way, credential, refused.header.removeprefix("Bearer "))
        if credential is None or not credential.username:
            return Showing("", credential)
        return Showing(credential.basic(), credential)

    async def _bearer(self, access: Access, credential: Credential | None, refused_token: str) -> Showing:
        if credential is not None and credential.registry_token:
            return Showing(f"Bearer {credential.registry_token}", credential)
        try:
            token = await self._tokens.get(access, credential, refused_token)
        except NotAuthorised as error:
            changed = await self._credential_again(credential)
            if changed == credential:
                raise await self._refused(error.what) from error
        else:
            return Showing(f"Bearer {token}", credential)
        return await self._bearer(access, changed, "")

    async def _refused(self, what: str) -> MkfsError:
        """The error for a person, who must learn whether it is the password or that none was found."""
        held_back = not self._private and await self._credentials.lookup(self.registry, self.repository) is not None
        hint = _PLAIN_HTTP_HINT if held_back else f"docker login {self.registry}"
        return NotAuthorised(
            what, f"{self.registry}/{self.repository}; {self._credentials.describe(self.registry, self.repository)}", hint
        )
