"""What a daemon sends to whoever started it: lines of JSON. In the end one word, ready or why not; before it, if that takes long,
how far it is. End of file without the word is a crash.
"""

from contextlib import suppress
from typing import final

import msgspec
from msgspec import Struct

from mkfs.service.progress import Progress


@final
class Outcome(Struct, frozen=True):
    """`exit_code` 0: the directory is readable, and `lines` are notices. Otherwise `lines` are the error's, one to three."""

    exit_code: int
    lines: tuple[str, ...] = ()


def encode(message: Outcome | Progress) -> bytes:
    """The message as bytes, with its newline."""
    return msgspec.json.encode(message) + b"\n"


def decode(line: bytes) -> Outcome | Progress | None:
    """Reads what `encode` wrote; None for anything else, such as nothing."""
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(line, type=Outcome)
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(line, type=Progress)
    return None
