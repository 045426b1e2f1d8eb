"""The words of the control socket: one JSON object a line, in both directions. docs/STATUS.md has the protocol.

Small, because a mount and a command both load it; what a report holds is known to `service.report`.
"""

from typing import Final, final

import msgspec
from msgspec import Struct

PROTOCOL: Final = 1
LINE_LIMIT_BYTES: Final = 4096  # of a request; ours have sixty
LEAST_PERIOD_SECONDS: Final = 0.2  # between two reports to who watches
LONGEST_PERIOD_SECONDS: Final = 60.0  # so that both sides find out that the other one is gone
STATUS: Final = "status"
WATCH: Final = "watch"
PING: Final = "ping"


@final
class Request(Struct, frozen=True):
    """What is asked. Fields that nobody knows are ignored."""

    request: str
    protocol: int = PROTOCOL
    period_seconds: float = 1.0  # of `watch`


@final
class Refusal(Struct, frozen=True):
    """Why a request is not answered. `code` stays, `what` is for a person."""

    code: str
    what: str


def decode_request(line: bytes) -> Request | Refusal:
    """Reads one line. Raises nothing."""
    try:
        request = msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refusal("bad_request", 'not a request (expected one JSON object a line, as {"request": "status"})')
    if request.protocol != PROTOCOL:
        return Refusal("unsupported_protocol", f"protocol {request.protocol} is not spoken here (expected {PROTOCOL})")
    if request.request not in (STATUS, WATCH, PING):
        return Refusal("unknown_request", f"expected one of {STATUS}, {WATCH}, {PING}")
    return request


def encode(**answer: object) -> bytes:
    """An answer, or a request, as a line."""
    return msgspec.json.encode({"protocol": PROTOCOL, **answer}) + b"\n"
