"""Numbers in tar headers: octal text (POSIX ustar), base-256 (GNU and star), decimal text (PAX records).

Stricter than the tools: a field holds one number and padding, nothing else. What `int()` would take besides digits (signs,
underscores, white space, other scripts' digits) never reaches it.
"""

import re
from typing import Final

from mkfs.errors import BadArchive

# POSIX: leading zeros, a space or NUL at the end. Old tools pad with spaces in front; a NUL there ends the number for some readers.
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \0]*")
_POSITIVE, _NEGATIVE = 0x80, 0xFF  # first byte of a base-256 field; anything else between is another dialect or damage
_SIZE: Final = re.compile(rb"[0-9]{1,19}")  # 19 digits hold 2**63 - 1
_SECONDS: Final = re.compile(rb"(-?[0-9]{1,19})(?:\.([0-9]*))?")
_SECONDS_LIMIT: Final = 2**63  # exclusive, both ways: a 64-bit time_t, and what an index can store


def header_number(field: bytes, what: str) -> int:
    """The number in a header's `field`; negative only in base-256. Empty is 0, as every tool has it. Raises `BadArchive`."""
    if field[0] in (_POSITIVE, _NEGATIVE):
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == _POSITIVE else value - (1 << 8 * len(field) - 8)
    return octal_number(field, what)


def octal_number(field: bytes, what: str) -> int:
    """The number in a `field` that no dialect writes in base-256. Raises `BadArchive`."""
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise BadArchive(f"{what} is not a number (got {field!r})")
    return int(match[1] or b"0", 8)


def pax_size(value: bytes) -> int:
    """The value of a PAX `size` record, in bytes. Raises `BadArchive`."""
    if not _SIZE.fullmatch(value):
        raise BadArchive(f"PAX size is not a number (got {value[:40]!r})")
    return int(value)


def pax_seconds(value: bytes) -> int:
    """The value of a PAX `mtime` record in whole seconds, rounded down. Raises `BadArchive`."""
    match = _SECONDS.fullmatch(value)
    if match is None:
        raise BadArchive(f"PAX time is not a number (got {value[:40]!r})")
    earlier = match[1].startswith(b"-") and bool((match[2] or b"").strip(b"0"))  # -1.5 lies in the second that starts at -2
    return check_seconds(int(match[1]) - earlier)


def check_seconds(seconds: int) -> int:
    """`seconds` if a 64-bit clock can show them. Raises `BadArchive`."""
    if not -_SECONDS_LIMIT <= seconds < _SECONDS_LIMIT:
        raise BadArchive("modification time needs more than 64 bits")
    return seconds
