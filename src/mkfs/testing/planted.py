"""Secrets that can be told from everything else: what the helpers here hand out, so that a search finds wherever a client left it.

    registry.access = Basic({"ada": planted.PASSWORD})
    …
    assert not planted.is_in(log.read_bytes())

Passwords, tokens, signed queries, the state of an upload and cookies of this package all hold `MARK`. It is found as it stands and
in base64, where credentials (RFC 7617) and JSON Web Tokens have it.
"""

import base64
import secrets
from typing import Final

MARK: Final = "pl4nted"  # characters that no place for a secret has to escape

PASSWORD: Final = f"{MARK}-password"
SIGNATURE: Final = f"{MARK}-signature"  # in the query of an address
COOKIE: Final = f"{MARK}-cookie"

_TOKEN_BYTES: Final = 24


def token() -> str:
    """A token that nobody had before."""
    return f"{MARK}-{secrets.token_urlsafe(_TOKEN_BYTES)}"


def is_in(data: bytes) -> bool:
    """Whether `data` holds the mark in one of its forms."""
    return any(form in data for form in _FORMS)


def _encoded(before: int) -> bytes:
    """What of the mark's base64 does not depend on what stands around it, where `before` bytes of its group of three come first."""
    bits = 8 * before
    return base64.b64encode(bytes(before) + MARK.encode() + b"..")[-(-bits // 6) : (bits + 8 * len(MARK)) // 6]


_FORMS: Final = (MARK.encode(), *map(_encoded, range(3)))
