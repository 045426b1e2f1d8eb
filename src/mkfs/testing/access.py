"""Who may do what: the three ways a registry asks for credentials.

`registry.access` is one of these and may be replaced at any time, as an administrator would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, final

from mkfs.testing.answers import Answer, Request
from mkfs.testing.credentials import basic_user
from mkfs.testing.refusals import refusal
from mkfs.testing.tokens import TokenIssuer


class Access(Protocol):
    """A registry's door."""

    def refuse(self, request: Request, repository: str, /) -> Answer | None:
        """The refusal for `request`, or None when it may read `repository` ("": only the API's root)."""

    def token(self, request: Request, /) -> Answer | None:
        """The answer of the token endpoint, or None when there is none."""


@final
class Anonymous:
    """Everybody may read; credentials are not looked at."""

    def refuse(self, request: Request, repository: str, /) -> Answer | None:  # noqa: ARG002 - the protocol's
        """Never."""
        return None

    def token(self, request: Request, /) -> Answer | None:  # noqa: ARG002 - the protocol's
        """There is none."""
        return None


@final
@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password in every request (RFC 7617). `users` maps names to passwords."""

    users: Mapping[str, str] = field(repr=False)
    realm: str = "registry.test"

    def refuse(self, request: Request, repository: str, /) -> Answer | None:  # noqa: ARG002 - whoever may in may read all
        """401 with a challenge unless a known user says its password."""
        if basic_user(request, self.users) is not None:
            return None
        return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f'Basic realm="{self.realm}"'})

    def token(self, request: Request, /) -> Answer | None:  # noqa: ARG002 - the protocol's
        """There is none."""
        return None


@final
@dataclass(frozen=True, slots=True)
class Bearer:
    """Tokens of an issuer of the registry's own, at `/token` (distribution's token flow)."""

    issuer: TokenIssuer

    def refuse(self, request: Request, repository: str, /) -> Answer | None:
        """401 with a challenge that says what is missing: any token, a valid one, or one for this repository."""
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        error = self.issuer.objection(request.headers.get("authorization", ""), repository, action)
        if error is None:
            return None
        parts = [f'realm="{self.issuer.realm_for(request)}"', f'service="{self.issuer.service}"']
        if repository:
            actions = "pull" if action == "pull" else "pull,push"
            parts.append(f'scope="repository:{repository}:{actions}"')
        if error:
            parts.append(f'error="{error}"')
        return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f"Bearer {','.join(parts)}"})

    def token(self, request: Request, /) -> Answer | None:
        """What the issuer answers."""
        return self.issuer.answer(request)
