"""What a registry says went wrong: the error JSON of distribution-spec, "Error Codes", made fit for one line of a message."""

import re
from typing import Final

from mkfs.errors import BadDocument
from mkfs.oci.json import decode_json
from mkfs.units import KIB

_BODY_LIMIT_BYTES: Final = 64 * KIB  # an error is a sentence; real ones stay below 2 KiB
_LINE_LIMIT: Final = 200  # characters: one line of a terminal, or two

# The text is a stranger's, who may quote the request: a signed query or a token must not reach a log through it.
_SIGNED_URL: Final = re.compile(r"(https?://)\S*?[?@]\S*", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)


def describe_error(body: bytes) -> str:
    """`NAME_UNKNOWN: repository name not known to registry`, or "" where the body holds no such error (HTML, nothing, a list …).

    One printable line of at most 200 characters, without the parts that could be secret. Only the first error counts, as the
    others of a list repeat it in practice; `detail` has no fixed shape and is left out.
    """
    try:
        errors = decode_json(body, _BODY_LIMIT_BYTES, "error").get("errors")
    except BadDocument:
        return ""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    said = (first.get("code"), first.get("message"))
    return one_line(": ".join(part for part in said if isinstance(part, str) and part))


def one_line(text: str) -> str:
    """A stranger's words, fit for a log: one printable line of at most 200 characters, without what could be secret."""
    printable = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    line = _CREDENTIAL.sub(r"\1 …", _SIGNED_URL.sub(r"\1…", printable))
    return line if len(line) <= _LINE_LIMIT else f"{line[: _LINE_LIMIT - 1]}…"
