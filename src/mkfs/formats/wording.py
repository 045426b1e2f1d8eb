"""Words about a stranger's artifact that fit into one line of a message."""

from typing import Final

from mkfs.oci.descriptor import Descriptor

_SHOWN: Final = 120  # characters of a name: with the rest of the message it still is a line


def printable(text: str) -> str:
    """A stranger's words for a message: one line, quoted where that matters, and not longer than a line bears."""
    return (text if text.isprintable() and text and not text.isspace() else repr(text))[:_SHOWN]


def layer_label(number: int, count: int, layer: Descriptor, what: str = "") -> str:
    """`layer 3 of 7 (docs README.md, application/…)`; `number` counts from 0, `what` says what it is for."""
    return f"layer {number + 1} of {count} ({what + ', ' if what else ''}{layer.media_type})"
