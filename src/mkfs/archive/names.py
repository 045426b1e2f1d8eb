"""Names out of hostile archives, made fit for a message."""

from typing import Final

_SHOWN_BYTES: Final = 120  # of a name: one line of a message holds it together with what is wrong


def show_name(name: bytes) -> str:
    """`name` in quotes: printable, on one line, cut after 120 bytes. For people; two names may look the same."""
    text = repr(name[:_SHOWN_BYTES].decode("utf-8", "backslashreplace"))
    return f"{text}…" if len(name) > _SHOWN_BYTES else text
