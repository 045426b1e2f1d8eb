"""The control socket of a mounted process: answers `status`, `watch` and `ping`. docs/STATUS.md has the protocol.

Whoever asks is a stranger: a line has a limit, a silent client a time, one that does not read is left, and there are never more
than `CLIENTS` of them. Only the mount's own user and root are heard. Nothing that happens here ends the mount.
"""

import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, final

import trio

from mkfs import __version__
from mkfs.errors import MkfsError
from mkfs.service import control_place
from mkfs.service.companions import Mounted
from mkfs.service.control_wire import (
    LEAST_PERIOD_SECONDS,
    LINE_LIMIT_BYTES,
    LONGEST_PERIOD_SECONDS,
    PING,
    WATCH,
    Refusal,
    Request,
    decode_request,
    encode,
)
from mkfs.service.tag_standing import TagStanding
from mkfs.service.unix_peer import peer_of

if TYPE_CHECKING:
    from mkfs.service.observing import Observer

log = logging.getLogger(__name__)

CLIENTS: Final = 16  # a person, a probe, some who wait
IDLE_SECONDS: Final = 30.0  # for a request; a command asks at once
SEND_SECONDS: Final = 5.0  # for an answer to be taken; a reader on the same machine takes it at once
_PAUSE_SECONDS: Final = 1.0  # after `accept` failed, for want of descriptors


def start(mounted: Mounted, tag: TagStanding | None, nursery: trio.Nursery, path: Path) -> None:
    """Listens at `path` from now on, and serves in `nursery`. Raises nothing: without a socket a mount is as good, and is told."""
    try:
        listener = control_place.listen(path)
        server = ControlServer(listener, Reports(mounted, tag, nursery))
        ours = control_place.identity(path)
    except (OSError, MkfsError) as error:
        log.warning("kitfs status will know nothing of this mount: no control socket at %s: %s", path, error)
        return

    async def serve() -> None:
        try:
            await server.serve()
        finally:
            control_place.remove(path, ours)

    nursery.start_soon(serve)


@final
class Reports:
    """The report of a mount, as a line. What makes one is loaded once the mount is ready, not before."""

    def __init__(self, mounted: Mounted, tag: TagStanding | None, nursery: trio.Nursery) -> None:
        self._mounted, self._tag = mounted, tag
        self._observer: Observer | None = None
        self._ready = trio.Event()
        nursery.start_soon(self._observe)

    async def _observe(self) -> None:
        from mkfs.service.observing import Observer

        self._observer = Observer(self._mounted, self._tag)
        self._ready.set()
        await self._observer.sample()

    async def __call__(self) -> bytes:
        """The line."""
        await self._ready.wait()
        return encode(report=await cast("Observer", self._observer).report())


@final
class ControlServer:
    """Serves whoever connects to `listener`, which it owns. `report` makes one answer to `status`."""

    def __init__(self, listener: socket.socket, report: Callable[[], Awaitable[bytes]]) -> None:
        self._listener = trio.socket.from_stdlib_socket(listener)
        self._report = report
        self._clients = 0

    async def serve(self) -> None:
        """Never returns. Cancelling it closes every connection."""
        with self._listener:
            async with trio.open_nursery() as nursery:
                while True:
                    try:
                        connection, _ = await self._listener.accept()
                    except OSError as error:
                        log.debug("a client of the control socket was not taken in: %s", error)
                        await trio.sleep(_PAUSE_SECONDS)
                        continue
                    nursery.start_soon(self._serve_one, connection)

    async def _serve_one(self, connection: trio.socket.SocketType) -> None:
        self._clients += 1
        try:
            async with trio.SocketStream(connection) as stream:
                await self._talk(stream)
        except trio.BrokenResourceError:  # it is gone
            pass
        except Exception:
            log.exception("a client of the control socket got no answer: this is a defect")
        finally:
            self._clients -= 1

    async def _talk(self, stream: trio.SocketStream) -> None:
        refusal = self._refusal(stream)
        if refusal is not None:
            await _send(stream, encode(error=refusal))
            return
        lines = _Lines(stream)
        while (line := await lines.next()) is not None:
            asked = (
                Refusal("too_long", f"a request has {LINE_LIMIT_BYTES} bytes at most") if line is TOO_LONG else decode_request(line)
            )
            if isinstance(asked, Request) and asked.request == WATCH:
                await self._keep_telling(stream, asked.period_seconds)
                return
            if not await _send(stream, await self._answer(asked)) or line is TOO_LONG:
                return

    def _refusal(self, stream: trio.SocketStream) -> Refusal | None:
        if self._clients > CLIENTS:
            return Refusal("busy", f"{CLIENTS} clients are served already")
        _, uid = peer_of(stream.socket)
        if uid not in (0, os.geteuid()):
            return Refusal("not_allowed", "only the user who mounted it, and root, are told")
        return None

    async def _answer(self, asked: Request | Refusal) -> bytes:
        if isinstance(asked, Refusal):
            return encode(error=asked)
        return encode(pid=os.getpid(), version=__version__) if asked.request == PING else await self._report()

    async def _keep_telling(self, stream: trio.SocketStream, period_seconds: float) -> None:
        """Reports, until the client is gone or does not read."""
        period_seconds = min(max(period_seconds, LEAST_PERIOD_SECONDS), LONGEST_PERIOD_SECONDS)
        told = True
        while told:
            told = await _send(stream, await self._report())
            await trio.sleep(period_seconds)


async def _send(stream: trio.SocketStream, line: bytes) -> bool:
    """Whether the client took it in time."""
    with trio.move_on_after(SEND_SECONDS):
        await stream.send_all(line)
        return True
    return False


TOO_LONG: Final = b""  # no line is empty: that has its newline


@final
class _Lines:
    """The lines of a client."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self._rest = stream, bytearray()

    async def next(self) -> bytes | None:
        """The next line; `TOO_LONG` for one that has no end in sight; None where the client has ended, or says nothing."""
        with trio.move_on_after(IDLE_SECONDS):
            while (stop := self._rest.find(b"\n")) < 0:
                if len(self._rest) >= LINE_LIMIT_BYTES:
                    return TOO_LONG
                received = await self._stream.receive_some(LINE_LIMIT_BYTES)
                if not received:
                    return None
                self._rest += received
            line = bytes(self._rest[: stop + 1])
            del self._rest[: stop + 1]
            return line
        return None
