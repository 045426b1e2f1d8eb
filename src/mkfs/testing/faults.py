"""Faults as data: which requests, what goes wrong, how often. To mend is to remove the fault.

    fault = registry.faults.install(Fault(Match(digest=layer), Flip(4096), times=1))
    registry.faults.mend(fault)

Several faults may match one request; they are applied in the order they were installed.
"""

import gzip
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, Protocol, final

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.answers import Answer, Cut, Hold, Pause, Request
from mkfs.testing.bodies import FlippedBody, MemoryBody, PaddedBody
from mkfs.testing.gates import Gate

_HTML: Final = b"<!doctype html><title>Sign in</title><p>Please sign in.</p>\n"
_WRONG_DIGEST: Final = Digest.of(b"something else")


class Action(Protocol):
    """What goes wrong: one answer becomes another. Pure; an answer the action is not about comes back as it was."""

    def apply(self, answer: Answer, /) -> Answer:
        """The answer to send instead."""


@final
@dataclass(frozen=True, slots=True)
class Match:
    """Which requests. Every condition given must hold; none given is every request."""

    method: str = ""
    path: str = ""  # regular expression, searched in the path
    header: str = ""  # regular expression, searched in the headers, each as "name: value" with the name in lower case
    digest: Digest | None = None  # the blob or manifest asked for by digest
    offset: int | None = None  # requests whose range covers this byte of the blob (a request without a range covers all)
    nth: int = 1  # counting from 1 those that match: this one and those after it

    def accepts(self, request: Request, answer: Answer) -> bool:
        """Whether the conditions hold, `nth` aside."""
        return (
            self.method in ("", request.method)
            and re.search(self.path, request.path) is not None
            and (not self.header or any(re.search(self.header, f"{name}: {text}") for name, text in request.headers.items()))
            and self.digest in (None, answer.digest)
            and (self.offset is None or answer.asked is None or answer.asked.start <= self.offset < answer.asked.stop)
        )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One thing that goes wrong. Equal only to itself: two alike are two faults."""

    match: Match
    action: Action
    times: int | None = None  # at most so many requests; None: until mended


@final
class Faults:
    """The faults installed at one registry. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._matched: dict[Fault, int] = {}  # installed faults, and how many requests each accepted

    def install(self, fault: Fault) -> Fault:
        """From the next request on. Returns `fault`, to mend it by."""
        with self._lock:
            self._matched[fault] = 0
        return fault

    def mend(self, fault: Fault) -> None:
        """From the next request on, as if it had never been; answers under way stay as they are. Mending twice does no harm."""
        with self._lock:
            self._matched.pop(fault, None)

    def mend_all(self) -> None:
        """Mends every fault."""
        with self._lock:
            self._matched.clear()

    def apply(self, request: Request, answer: Answer) -> Answer:
        """The answer as it goes out. Counts the request for every fault that matches it."""
        for fault in self._due(request, answer):
            answer = fault.action.apply(answer)
        return answer

    def _due(self, request: Request, answer: Answer) -> list[Fault]:
        due = []
        with self._lock:
            for fault in self._matched:
                if not fault.match.accepts(request, answer):
                    continue
                self._matched[fault] += 1
                turn = self._matched[fault] - fault.match.nth
                if turn >= 0 and (fault.times is None or turn < fault.times):
                    due.append(fault)
        return due


@final
@dataclass(frozen=True, slots=True)
class Status:
    """Another answer altogether: `code`, `headers` and `body`."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes = b""

    def apply(self, answer: Answer, /) -> Answer:
        """That answer."""
        return _instead(answer, self.code, self.body, self.headers)


@final
@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """A ranged request gets 200 and everything: legal, and common with pull-through caches that are cold."""

    def apply(self, answer: Answer, /) -> Answer:
        """The whole content."""
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            return answer
        whole = ByteRange(0, answer.content.size_bytes)
        return replace(answer, status=HTTPStatus.OK, headers=_without(answer, "Content-Range"), span=whole)


@final
@dataclass(frozen=True, slots=True)
class WrongContentRange:
    """206, the right bytes, and a Content-Range that speaks of others (`text`, or one byte further on)."""

    text: str = ""

    def apply(self, answer: Answer, /) -> Answer:
        """The wrong header."""
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            return answer
        start, stop = answer.span.start + 1, answer.span.stop + 1
        text = self.text or f"bytes {start}-{stop - 1}/{answer.content.size_bytes}"
        return replace(answer, headers={**answer.headers, "Content-Range": text})


@final
@dataclass(frozen=True, slots=True)
class MissingContentRange:
    """206 that does not say which bytes it brings."""

    def apply(self, answer: Answer, /) -> Answer:
        """The header left out."""
        return replace(answer, headers=_without(answer, "Content-Range"))


@final
@dataclass(frozen=True, slots=True)
class ShortBody:
    """Only the first `size_bytes` bytes of the body; then the connection is closed. `honest`: Content-Length says so too."""

    size_bytes: int
    honest: bool = False

    def apply(self, answer: Answer, /) -> Answer:
        """The body cut."""
        if not answer.delivers_content:
            return answer
        if self.honest:
            stop = min(answer.span.start + self.size_bytes, answer.span.stop)
            return replace(answer, span=ByteRange(answer.span.start, stop))
        return replace(answer, breaks=(*answer.breaks, (self.size_bytes, Cut(reset=False))))


@final
@dataclass(frozen=True, slots=True)
class LongBody:
    """`extra_bytes` more than the range: what follows in the blob, then zeros. Content-Length tells, Content-Range does not."""

    extra_bytes: int = 1

    def apply(self, answer: Answer, /) -> Answer:
        """The body longer."""
        if not answer.delivers_content:
            return answer
        content = PaddedBody(answer.content, self.extra_bytes)
        return replace(answer, content=content, span=ByteRange(answer.span.start, answer.span.stop + self.extra_bytes))


@final
@dataclass(frozen=True, slots=True)
class NoContentLength:
    """The length is not announced: the end of the connection ends the body."""

    def apply(self, answer: Answer, /) -> Answer:
        """The header left out."""
        return replace(answer, announced=False)


@final
@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of the content is wrong: the lowest of the byte at `offset`, counted from the start of the blob."""

    offset: int

    def apply(self, answer: Answer, /) -> Answer:
        """The content damaged."""
        return replace(answer, content=FlippedBody(answer.content, self.offset)) if answer.delivers_content else answer


@final
@dataclass(frozen=True, slots=True)
class Stall:
    """After `after_bytes` of the body nothing comes until `release`; a body that ends there or before comes whole. The connection
    stays open.
    """

    after_bytes: int = 0
    gate: Gate = field(default_factory=Gate)

    def apply(self, answer: Answer, /) -> Answer:
        """The body held up."""
        if answer.span.length <= self.after_bytes:
            return answer  # held, its connection would be, and with it the next answer: whatever that is about
        return replace(answer, breaks=(*answer.breaks, (self.after_bytes, Hold(self.gate))))

    def release(self) -> None:
        """Lets all stalled answers go on, and those to come."""
        self.gate.release()


@final
@dataclass(frozen=True, slots=True)
class Withhold:
    """No answer at all, not even its head, until `release`."""

    gate: Gate = field(default_factory=Gate)

    def apply(self, answer: Answer, /) -> Answer:
        """The answer held up."""
        return replace(answer, before=(*answer.before, Hold(self.gate)))

    def release(self) -> None:
        """Lets all withheld answers go, and those to come."""
        self.gate.release()


@final
@dataclass(frozen=True, slots=True)
class Reset:
    """After `after_bytes` of the body the connection is reset (RST). None: before the head."""

    after_bytes: int | None = 0

    def apply(self, answer: Answer, /) -> Answer:
        """The connection gone."""
        if self.after_bytes is None:
            return replace(answer, before=(*answer.before, Cut(reset=True)))
        return replace(answer, breaks=(*answer.breaks, (self.after_bytes, Cut(reset=True))))


@final
@dataclass(frozen=True, slots=True)
class Slow:
    """The body trickles: about ten pieces a second, the first after its share of the time; at least one byte each."""

    bytes_per_second: float

    def apply(self, answer: Answer, /) -> Answer:
        """The body slowed down."""
        return replace(answer, bytes_per_second=self.bytes_per_second)


@final
@dataclass(frozen=True, slots=True)
class Delay:
    """The answer begins late."""

    seconds: float

    def apply(self, answer: Answer, /) -> Answer:
        """The answer put off."""
        return replace(answer, before=(*answer.before, Pause(self.seconds)))


@final
@dataclass(frozen=True, slots=True)
class Redirect:
    """Go elsewhere: `url` may be relative, or name another host and port; `{digest}` in it stands for the digest asked for."""

    url: str = field(repr=False)  # may be signed
    code: int = 307

    def apply(self, answer: Answer, /) -> Answer:
        """The redirect."""
        return _instead(answer, self.code, b"", {"Location": self.url.replace("{digest}", str(answer.digest))})


@final
@dataclass(frozen=True, slots=True)
class Encoded:
    """The body comes gzip-encoded though nobody asked: offsets in it mean nothing."""

    def apply(self, answer: Answer, /) -> Answer:
        """The body compressed, with its header."""
        if not answer.delivers_content:
            return answer
        data = gzip.compress(answer.content.read(answer.span), mtime=0)
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return replace(answer, headers=headers, content=MemoryBody(data), span=ByteRange(0, len(data)))


@final
@dataclass(frozen=True, slots=True)
class Html200:
    """A sign-in page with status 200, as captive portals and some proxies give it."""

    def apply(self, answer: Answer, /) -> Answer:
        """The page."""
        return _instead(answer, 200, _HTML, {"Content-Type": "text/html; charset=utf-8"})


@final
@dataclass(frozen=True, slots=True)
class WrongDigestHeader:
    """Docker-Content-Digest speaks of something else."""

    text: str = str(_WRONG_DIGEST)

    def apply(self, answer: Answer, /) -> Answer:
        """The wrong header."""
        return replace(answer, headers={**answer.headers, "Docker-Content-Digest": self.text})


@final
@dataclass(frozen=True, slots=True)
class WrongContentType:
    """The content under another media type."""

    media_type: str = "application/octet-stream"

    def apply(self, answer: Answer, /) -> Answer:
        """The wrong header."""
        return replace(answer, headers={**answer.headers, "Content-Type": self.media_type})


def _instead(answer: Answer, code: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Another head and body, with what is known of the request, and the breaks of faults before this one."""
    span = ByteRange(0, len(body))
    return replace(answer, status=code, headers=headers, content=MemoryBody(body), span=span)


def _without(answer: Answer, header: str) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != header}
