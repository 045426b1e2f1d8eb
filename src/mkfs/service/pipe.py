"""The one message a daemon sends to whoever started it: ready, or why not. One line of JSON; end of file without one is a crash."""

from dataclasses import dataclass
from typing import final

import msgspec


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """`exit_code` 0: the directory is readable, and `lines` are notices. Otherwise `lines` are the error's, one to three."""

    exit_code: int
    lines: tuple[str, ...] = ()


def encode(outcome: Outcome) -> bytes:
    """The message as bytes, with its newline."""
    return msgspec.json.encode(outcome) + b"\n"


def decode(data: bytes) -> Outcome | None:
    """Reads what `encode` wrote; None for anything else, such as nothing."""
    try:
        return msgspec.json.decode(data, type=Outcome)
    except msgspec.DecodeError:
        return None
