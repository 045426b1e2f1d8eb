"""Passwords as requests bring them."""

import base64
import hmac
from collections.abc import Mapping

from mkfs.testing.answers import Request


def right_password(users: Mapping[str, str], user: str, password: str) -> bool:
    """Whether `users`, names to passwords, know this pair."""
    return hmac.compare_digest(users.get(user, "").encode(), password.encode()) and user in users


def basic_user(request: Request, users: Mapping[str, str]) -> str | None:
    """The user whose right password `request` brings (RFC 7617), or None."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # not base64, or not UTF-8 in it
        return None
    return user if right_password(users, user, password) else None
