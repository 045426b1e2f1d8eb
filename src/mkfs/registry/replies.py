"""Which answers to believe, and what the others mean. Status, headers and a few words in, a range or an error out; pure but for the
time of day, which a Retry-After may be about.

A ranged GET is believed with 206 and one exact `Content-Range`, or with 200 when the body is the whole blob; a 200 is legal and
common (caches that are cold), and must never be taken for the range. `Accept-Ranges` is never looked at: it lies in both
directions. Sources: RFC 9110, 14 and 15; distribution-spec "Pulling blobs"; the quirks each check names.
"""

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Protocol

from mkfs.errors import MkfsError, NotFound, Unreachable
from mkfs.oci.content_range import parse_content_range
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.ranges import OtherSize

# So long somebody waits for a host that said when it will be back; one that wants more is given up at once.
LONGEST_WAIT_SECONDS: Final = 25.0
_SHOWN: Final = 80  # characters of a header that makes no sense
_STATUSES: Final = frozenset(HTTPStatus)


class Head(Protocol):
    """Status and headers of an answer."""

    @property
    def status(self) -> int:
        """The status code."""

    def header_values(self, name: str) -> Sequence[str]:
        """The values of all headers of that name."""


def delivered(head: Head, blob: Descriptor, wanted: ByteRange, host: str) -> ByteRange:
    """The bytes of `blob` that the body of a 200 or 206 holds.

    Raises `Unreachable` unless that is `wanted` or the whole blob; `OtherSize` where the blob is said to have another size.
    """
    whole = ByteRange(0, blob.size_bytes)
    promised = _partial(head, blob, wanted, host) if head.status == HTTPStatus.PARTIAL_CONTENT else whole
    encodings = [value for value in head.header_values("Content-Encoding") if value.strip().lower() not in ("", "identity")]
    if encodings:  # offsets in an encoded body mean nothing
        raise Unreachable(f"the body came encoded ({_show(encodings[0])}) though identity was asked for", host)
    length = _content_length(head, host)
    if length == promised.length:
        return promised
    if head.status == HTTPStatus.OK and is_web_page(head):
        raise no_web_page("blob", host)
    if length is not None:
        error = OtherSize if head.status == HTTPStatus.OK else Unreachable
        raise error(f"the body has a wrong length (got {length} bytes, expected {promised.length})", host)
    return promised


def no_web_page(wanted: str, host: str) -> Unreachable:
    """The error for a web page in the place of the `wanted` thing."""
    return Unreachable(f"a web page came instead of the {wanted}", host, "check for a proxy or sign-in page on the way")


def refusal(head: Head, said: str, what: str, host: str) -> MkfsError:
    """The error for an answer that is neither 200 nor 206. `what` was asked for, `said` is the registry's own explanation, if
    any.
    """
    status = HTTPStatus(head.status) if head.status in _STATUSES else None
    about = f": {said}" if said else f" (status {head.status}{f' {status.phrase}' if status else ''})"
    if status is HTTPStatus.NOT_FOUND:
        return NotFound(f"{what} not found{about}", host, "check the name, and that it was pushed")
    if status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        holds = "".join(value.rpartition("/")[2] for value in head.header_values("Content-Range"))
        other = f", it holds {_show(holds)} bytes there" if holds.isdecimal() else ""
        return (OtherSize if other else Unreachable)(f"the registry has no such range of {what}{other}{about}", host)
    later = _retry_after(head)
    waits = retry_after_seconds(head, time.time()) or 0.0  # seen to by `manners`
    unreachable = Hopeless if waits > LONGEST_WAIT_SECONDS else Unreachable
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        return unreachable(f"too many requests{later}{about}", host, "log in, or try again later")
    if head.status < HTTPStatus.INTERNAL_SERVER_ERROR and status is not HTTPStatus.REQUEST_TIMEOUT:
        return Hopeless(f"the registry does not answer for {what}{about}", host)
    return unreachable(f"the registry cannot answer for {what}{later}{about}", host)


def _partial(head: Head, blob: Descriptor, wanted: ByteRange, host: str) -> ByteRange:
    values = head.header_values("Content-Range")
    if len(values) != 1:  # several ranges come as multipart, with the header in each part
        raise Unreachable(f"a partial answer with {len(values) or 'no'} Content-Range", host)
    said = parse_content_range(values[0])
    if said is None or said.range != wanted or said.total not in (None, blob.size_bytes):
        expected = f"bytes {wanted.start}-{wanted.stop - 1}/{blob.size_bytes}"
        has_other_size = said is not None and said.range == wanted and said.total is not None
        error = OtherSize if has_other_size else Unreachable
        raise error(f"not the range that was asked for (got {_show(values[0])}, expected {expected})", host)
    return wanted


def _content_length(head: Head, host: str) -> int | None:
    values = set(head.header_values("Content-Length"))
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdecimal()):
        raise Unreachable("the answer has a Content-Length that makes no sense", host)
    return int(value)


def is_web_page(head: Head) -> bool:
    """Whether the body says that it is HTML: sign-in pages; Harbor with a broken upstream."""
    return any(value.strip().lower().startswith("text/html") for value in head.header_values("Content-Type"))


def retry_after_seconds(head: Head, now: float) -> float | None:
    """How long an answer asks to wait, from 0; None where it does not say. `now` is the wall clock, in seconds since the epoch; the
    answer's own clock is believed instead where it shows it.
    """
    value = next(iter(head.header_values("Retry-After")), "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    moment = _moment(value)
    if moment is None:
        return None
    return max(0.0, moment - (_moment(next(iter(head.header_values("Date")), "")) or now))


def _retry_after(head: Head) -> str:
    values = head.header_values("Retry-After")
    if not values:
        return ""
    return f", again after {values[0]} s" if values[0].isascii() and values[0].isdecimal() else f", again after {_show(values[0])}"


def _show(text: str) -> str:
    return ascii(text[:_SHOWN])[1:-1]


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
