"""Tokens that a real registry believes: distribution's token authentication (docs/content/spec/auth/jwt.md), signed elsewhere.

    registry.access = JwtDoor(users, sign, certificate)   # a MemoryRegistry that serves `/token`, and is otherwise open

`sign` makes an RS256 signature (RSASSA-PKCS1-v1_5 with SHA-256) of bytes; `certificate` is the DER of whose key that was, which the
registry finds in its `rootcertbundle`. Who may what is as with `TokenIssuer`: known users everything, nobody nothing.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import final
from urllib.parse import parse_qs

from mkfs.testing import planted
from mkfs.testing.answers import Answer, Request
from mkfs.testing.credentials import basic_user
from mkfs.testing.refusals import refusal
from mkfs.testing.tokens import asked_of


@final
@dataclass(frozen=True, slots=True)
class JwtDoor:
    """An `Access` whose tokens are JSON Web Tokens. `service` and `issuer` are what the registry's configuration says."""

    users: Mapping[str, str] = field(repr=False)
    sign: Callable[[bytes], bytes] = field(repr=False)
    certificate: bytes = field(repr=False)
    service: str = "registry.test"
    issuer: str = "issuer.test"
    life_seconds: int = 60

    def refuse(self, request: Request, repository: str, /) -> Answer | None:  # noqa: ARG002 - the protocol's
        """Never: the registry whose tokens these are refuses."""
        return None

    def token(self, request: Request, /) -> Answer | None:
        """A token for what is asked for, where a user says its password."""
        user = basic_user(request, self.users)
        if user is None:
            return refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": f'Basic realm="{self.service}"'})
        asked = [pair for scope in parse_qs(request.query).get("scope", []) for pair in asked_of(scope)]
        access = [{"type": "repository", "name": name, "actions": [action]} for name, action in asked]
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "access": access,
            "jti": planted.token(),
        }
        claims |= {"exp": now + self.life_seconds, "nbf": now - 10, "iat": now}
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(self.certificate).decode("ascii")]}
        text = ".".join(_packed(json.dumps(part).encode()) for part in (header, claims))
        document = {"token": f"{text}.{_packed(self.sign(text.encode('ascii')))}", "expires_in": self.life_seconds}
        return Answer.of_bytes(HTTPStatus.OK, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _packed(data: bytes) -> str:
    """Base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
