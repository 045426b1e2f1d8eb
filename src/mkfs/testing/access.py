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
    """A user and a password in every request (RFC 7617). `users` maps names to passwords, and `expired` to those that were right
    once: ECR's last twelve hours, and are then refused with 403.
    """

    users: Mapping[str, str] = field(repr=False)
    realm: str = "registry.test"
    expired: Mapping[str, str] = field(default_factory=dict, repr=False)

    def refuse(self, request: Request, repository: str, /) -> Answer | None:  # noqa: ARG002 - whoever may in may read all
        """401 with a challenge unless a known user says its password."""
        if basic_user(request, self.users) is not None:
            return None
        if basic_user(request, self.expired) is not None:
            return refusal(
                HTTPStatus.FORBIDDEN, "DENIED", detail="Your authorization token has expired. Reauthenticate and try again."
            )
        return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f'Basic realm="{self.realm}"'})

    def token(self, request: Request, /) -> Answer | None:  # noqa: ARG002 - the protocol's
        """There is none."""
        return None


@final
@dataclass(frozen=True, slots=True)
class Bearer:
    """Tokens of an issuer of the registry's own, at `/token` (distribution's token flow).

    Switches: `too_old` is how a token that is not valid any more is met: "" as the specification says, "basic" with a challenge
    for Basic (Harbor), "400" with that status and no challenge (ECR Public). `tells_at_root`: only the API's root has a challenge
    (GCR). `any_scope`: the challenge asks for the scope `*` (Gitea).
    """

    issuer: TokenIssuer
    too_old: str = ""
    tells_at_root: bool = False
    any_scope: bool = False

    def refuse(self, request: Request, repository: str, /) -> Answer | None:
        """401 with a challenge that says what is missing: any token, a valid one, or one for this repository."""
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        error = self.issuer.objection(request.headers.get("authorization", ""), repository, action)
        if error is None:
            return None
        if error == "invalid_token" and self.too_old == "400":
            return refusal(HTTPStatus.BAD_REQUEST, "DENIED", detail="Your Authorization Token has expired")
        if error == "invalid_token" and self.too_old == "basic":
            return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="harbor"'})
        if repository and self.tells_at_root:
            return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED")
        parts = [f'realm="{self.issuer.realm_for(request)}"', f'service="{self.issuer.service}"']
        if repository:
            actions = "pull" if action == "pull" else "pull,push"
            parts.append('scope="*"' if self.any_scope else f'scope="repository:{repository}:{actions}"')
        if error:
            parts.append(f'error="{error}"')
        return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f"Bearer {','.join(parts)}"})

    def token(self, request: Request, /) -> Answer | None:
        """What the issuer answers."""
        return self.issuer.answer(request)
