"""What a registry is asked and answers, as values; and the steps in which an answer goes out.

An `Answer` says what shall be sent *and how it shall go wrong*. Faults (`testing.faults`) turn one answer into another. A carrier
(sockets, httpx transport, `MemoryReader`) only walks the steps: it decides nothing, so a fault behaves the same on all of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import PIECE_BYTES, BlobBody, MemoryBody
from mkfs.testing.gates import Gate
from mkfs.units import KIB

# A slow answer comes in so many pieces a second, each no larger than a socket takes at once.
_SLOW_PIECES_PER_SECOND: Final = 10
_SLOW_PIECE_BYTES: Final = 64 * KIB

_EMPTY: Final = MemoryBody(b"")


@final
@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `headers` have lower-case names; `repr` shows neither them nor query and body, which may hold secrets."""

    method: str
    path: str  # percent-decoded
    query: str = field(default="", repr=False)  # as sent, without the "?"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@final
@dataclass(frozen=True, slots=True)
class Send:
    """The bytes of `body` in `range`. A carrier cuts them into pieces as it likes (`pieces`), or hands a file to the kernel."""

    body: BlobBody
    range: ByteRange

    def pieces(self) -> Iterator[bytes]:
        """The bytes, up to 1 MiB at a time, read when asked for."""
        for piece in self.range.pieces(PIECE_BYTES):
            yield self.body.read(piece)


@final
@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    seconds: float


@final
@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until the gate opens."""

    gate: Gate


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing comes any more: the connection is closed in order, or with a reset (RST)."""

    reset: bool


Break: TypeAlias = Pause | Hold | Cut
Step: TypeAlias = Send | Break


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the head, and the bytes `span` of `content`. Values only; sending it twice sends the same."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # without Content-Length; a Location may be signed
    content: BlobBody = _EMPTY
    span: ByteRange = ByteRange(0, 0)  # noqa: RUF009 - a frozen value
    digest: Digest | None = None  # of the blob or manifest asked for by digest
    asked: ByteRange | None = None  # the range asked for
    bodiless: bool = False  # HEAD: only the head goes out
    announced: bool = True  # whether Content-Length is sent; without it, the end of the connection ends the body
    before: tuple[Break, ...] = ()  # before the head
    breaks: tuple[tuple[int, Break], ...] = ()  # after so many bytes of the body
    bytes_per_second: float | None = None

    @classmethod
    def of_bytes(cls, status: int, data: bytes, headers: Mapping[str, str] | None = None) -> "Answer":
        """An answer whose body is all of `data`."""
        return cls(status, headers or {}, MemoryBody(data), ByteRange(0, len(data)))

    @property
    def delivers_content(self) -> bool:
        """Whether this is the content itself, not a refusal or a redirect: what most faults are about."""
        return self.status in {200, 206}

    def head(self) -> dict[str, str]:
        """The headers to send."""
        return {**self.headers, **({"Content-Length": str(self.span.length)} if self.announced else {})}

    def steps(self) -> Iterator[Step]:
        """The body, with its breaks where they belong. Ends after a `Cut`."""
        if self.bodiless:
            return
        position = self.span.start
        for after, step in sorted(self.breaks, key=lambda item: item[0]):
            stop = min(max(position, self.span.start + after), self.span.stop)
            yield from self._sends(ByteRange(position, stop))
            position = stop
            yield step
            if isinstance(step, Cut):
                return
        yield from self._sends(ByteRange(position, self.span.stop))

    def items(self) -> Iterator[bytes | Break]:
        """The same with the bytes themselves, up to 1 MiB at a time, read when asked for."""
        for step in self.steps():
            if isinstance(step, Send):
                yield from step.pieces()
            else:
                yield step

    def _sends(self, run: ByteRange) -> Iterator[Step]:
        if self.bytes_per_second is None:
            if run.length:
                yield Send(self.content, run)
            return
        piece_bytes = max(1, min(int(self.bytes_per_second / _SLOW_PIECES_PER_SECOND), _SLOW_PIECE_BYTES))
        for piece in run.pieces(piece_bytes):
            yield Pause(piece.length / self.bytes_per_second)
            yield Send(self.content, piece)
