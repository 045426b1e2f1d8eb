"""Asking a mounted process over its control socket. Blocking, with a time limit on every wait: a stopped process must not hang
whoever asks.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import msgspec
from msgspec import Struct

from mkfs.errors import MkfsError
from mkfs.service import control_place
from mkfs.service.control_wire import STATUS, WATCH, Refusal, encode
from mkfs.service.report import Report
from mkfs.service.unix_peer import peer_of

# What is alive answers in milliseconds; one that hashes on all cores, or weighs a large cache first (`weighing`), in two seconds.
ANSWER_SECONDS: Final = 3.0
_ANSWER_LIMIT_BYTES: Final = 64 * 1024 * 1024  # thousands of layers; whoever sends more is not ours


class NoAnswer(MkfsError):
    """Somebody listens, and does not answer, or nothing that makes sense. `pid` is that process; 0: not known."""

    def __init__(self, what: str, where: str = "", hint: str = "", pid: int = 0) -> None:
        super().__init__(what, where, hint)
        self.args = (what, where, hint, pid)
        self.pid = pid


class Nobody(MkfsError):
    """Nobody listens."""


@final
class _Answer(Struct, frozen=True):
    report: Report | None = None
    error: Refusal | None = None


@final
class Connection:
    """A connection to a mounted process. `pid` is who listens, alive or stopped."""

    def __init__(self, connected: socket.socket, timeout_seconds: float) -> None:
        self._socket, self._timeout_seconds = connected, timeout_seconds
        self._rest = bytearray()
        self.pid, _ = peer_of(connected)

    def status(self) -> Report:
        """The report now. Raises `NoAnswer`."""
        self._ask(encode(request=STATUS))
        report = self._next(self._timeout_seconds)
        if report is None:
            raise self._silent("it hung up")
        return report

    def watch(self, period_seconds: float) -> Iterator[Report]:
        """A report every `period_seconds`, to the end of the mount. Raises `NoAnswer`."""
        self._ask(encode(request=WATCH, period_seconds=period_seconds))
        while (report := self._next(self._timeout_seconds + period_seconds)) is not None:
            yield report

    def _ask(self, line: bytes) -> None:
        try:
            self._socket.settimeout(self._timeout_seconds)
            self._socket.sendall(line)
        except OSError as error:
            raise self._silent(str(error)) from error

    def _next(self, timeout_seconds: float) -> Report | None:
        """The report in the next line; None at the end."""
        line = self._line(timeout_seconds)
        if line is None:
            return None
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._silent("its answer makes no sense to this version") from error
        if answer.report is None:
            raise self._silent("it refuses" if answer.error is None else f"it refuses: {answer.error.what}"[:200])
        return answer.report

    def _line(self, timeout_seconds: float) -> bytes | None:
        searched = 0
        self._socket.settimeout(timeout_seconds)
        while (stop := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > _ANSWER_LIMIT_BYTES:
                raise self._silent("its answer has no end")
            try:
                received = self._socket.recv(1 << 16)
            except TimeoutError as error:
                raise self._silent(f"nothing for {timeout_seconds:g} s") from error
            except OSError:
                return None
            if not received:
                return None
            self._rest += received
        line = bytes(self._rest[:stop])
        del self._rest[: stop + 1]
        return line

    def _silent(self, why: str) -> NoAnswer:
        return NoAnswer(f"the mount's process does not answer: {why}", f"pid {self.pid}", pid=self.pid)


@contextmanager
def connected(paths: Sequence[Path], timeout_seconds: float = ANSWER_SECONDS) -> Iterator[Connection]:
    """A connection to whoever listens at the first of `paths` where somebody does. Raises `Nobody`, `NoAnswer`."""
    for path in paths:
        try:
            asking = control_place.connect(path, timeout_seconds)
        except (TimeoutError, BlockingIOError) as error:  # its queue is full: it takes nobody in
            raise NoAnswer("the mount's process takes nobody in", str(path)) from error
        except OSError:
            continue
        with asking:
            yield Connection(asking, timeout_seconds)
        return
    raise Nobody("no control socket", ", ".join(map(str, paths)))
