"""`Content-Range`: which bytes an answer holds (RFC 9110, 14.4). The one header that a partial answer is believed by."""

import re
from typing import Final, final

from msgspec import Struct

from mkfs.ranges import ByteRange

# Range units ignore case. 18 digits stay below 2**63, and no blob is larger.
_CONTENT_RANGE: Final = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)", re.ASCII | re.IGNORECASE)


@final
class ContentRange(Struct, frozen=True):
    """The bytes in an answer, half-open, and the size of the whole; `total` is None where the server does not say (`*`)."""

    range: ByteRange
    total: int | None


def parse_content_range(text: str) -> ContentRange | None:
    """Reads `bytes first-last/total`; None for anything else, the `bytes */total` of a 416 included.

    Strict, as a wrong guess here is a wrong byte later: no white space, `first <= last < total`. Only the unit may be missing, as
    with Nexus: there is no other.
    """
    match = _CONTENT_RANGE.fullmatch(text)
    if not match:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] is None else int(match[3])
    if first > last or (total is not None and last >= total):
        return None
    return ContentRange(ByteRange(first, last + 1), total)
