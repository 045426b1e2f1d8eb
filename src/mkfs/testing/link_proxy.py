"""A link over real sockets: a thread that takes connections, and hands their bytes on when `link_model` says that they arrive.

Theory. Bytes are read ahead of the model, as a sender's socket buffer would hold them, and the model reckons with the times at
which things should have happened: a thread that runs late delays a piece, it does not slow the link. Sockets are watched edge by
edge; what was ready stays noted until a call says otherwise.

A reset, or an origin that cannot be reached, ends both sides of its connection at once, without the delay.
"""

import os
import select
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from mkfs.testing.link_model import Flow, Shape, Wire
from mkfs.units import KIB, MIB

_AHEAD_BYTES: Final = MIB  # read before it may leave: 8 ms at 1 Gbit/s, longer than a busy machine keeps a thread waiting
_READ_BYTES: Final = 256 * KIB
_BACKLOG: Final = 512  # hundreds of readers may connect at once
_TICK_SECONDS: Final = 0.0003  # what is due within it goes together; half of what one piece takes
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST
_EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_FAILED: Final = select.EPOLLERR | select.EPOLLHUP  # seen by whoever reads or writes next


@final
@dataclass(frozen=True, slots=True)
class Carried:
    """What went through a link since it was made. Bytes are counted right before the receiving socket gets them, and those that it
    does not take are taken back: who has the last byte finds it counted.
    """

    connections: int
    up_bytes: int  # to the origin
    down_bytes: int  # from it


@final
class LinkProxy:
    """The near end of a link to `target`, listening at `address` (port 0: a free one). `start` and `stop` once each.

    Raises `OSError` from the constructor where the address is taken.
    """

    def __init__(self, target: tuple[str, int], shape: Shape, address: tuple[str, int]) -> None:
        self._target, self._shape = target, shape
        self._up, self._down = _Direction(Wire(shape)), _Direction(Wire(shape))
        self._connections = 0
        self._lanes: dict[Flow, _Lane] = {}
        self._sockets: dict[int, _Socket] = {}
        self._listener = socket.create_server(address, backlog=_BACKLOG)
        self._listener.settimeout(0)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(self._stop, select.EPOLLIN)
        host, port = self._listener.getsockname()
        self.host = f"{host}:{port}"  # as it stands in a reference
        self._thread = threading.Thread(target=self._run, name=f"link {self.host}", daemon=True)

    @property
    def carried(self) -> Carried:
        """As of now. Any thread may ask."""
        return Carried(self._connections, self._up.carried_bytes, self._down.carried_bytes)

    def start(self) -> None:
        """Carries bytes until `stop`, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and every connection with RST."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for lane in list(self._lanes.values()):
            self._close(lane, reset=True)
        self._listener.close()
        self._poll.close()
        os.close(self._stop)

    def _run(self) -> None:
        while True:
            self._wait()
            now_ns = time.monotonic_ns()
            for descriptor, events in self._poll.poll(0):
                if descriptor == self._stop:
                    return
                if descriptor == self._listener.fileno():
                    self._accept(now_ns)
                else:
                    self._sockets[descriptor].note(events)
            for direction in (self._up, self._down):
                for arrival in direction.wire.advance(now_ns):
                    lane = self._lanes.get(arrival.flow)
                    if lane is not None:  # closed since it was sent
                        lane.arrive(arrival.size_bytes, arrival.at_ns)
            for lane in list(self._lanes.values()):
                self._move(lane, now_ns)

    def _wait(self) -> None:
        """Until a socket is ready or something is due. Not by epoll_wait(2): it counts in milliseconds."""
        due = [at_ns for each in (self._up, self._down) if (at_ns := each.wire.next_ns()) is not None]
        seconds = max(_TICK_SECONDS, (min(due) - time.monotonic_ns()) / 1e9) if due else None
        select.select([self._poll], [], [], seconds)

    def _accept(self, now_ns: int) -> None:
        """Takes all who came. A handshake costs a round trip: the client's bytes leave after it, the origin's after those came."""
        opened_ns = now_ns + self._shape.round_trip_ns
        with suppress(BlockingIOError):
            while True:
                near, far = _Socket(self._listener.accept()[0]), _Socket(socket.socket())
                far.socket.connect_ex(self._target)  # how it went is told by the first call on it
                up = _Lane(near, far, self._up, self._up.wire.open(opened_ns))
                down = _Lane(far, near, self._down, self._down.wire.open(opened_ns + self._shape.delay_ns, self._shape.stalls))
                up.back, down.back = down, up
                self._connections += 1
                for lane in (up, down):
                    self._lanes[lane.flow] = lane
                    self._sockets[lane.source.descriptor] = lane.source
                    self._poll.register(lane.source.descriptor, _EDGES)

    def _move(self, lane: "_Lane", now_ns: int) -> None:
        """Hands on what has arrived, and reads what there is room for."""
        try:
            lane.give(now_ns)
            lane.read(now_ns)
        except OSError:
            self._close(lane, reset=True)
            return
        if lane.finished and lane.back.finished:
            self._close(lane, reset=False)

    def _close(self, lane: "_Lane", *, reset: bool) -> None:
        for each in (lane, lane.back):
            each.direction.wire.drop(each.flow)
            self._lanes.pop(each.flow, None)
            if self._sockets.pop(each.source.descriptor, None) is not None:
                each.source.close(reset=reset)


@final
class _Direction:
    """A wire, and what it carried."""

    __slots__ = ("carried_bytes", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.carried_bytes = 0


@final
class _Socket:
    """One side of a connection, and what it is known to be ready for."""

    __slots__ = ("descriptor", "readable", "socket", "writable")

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.descriptor = connection, connection.fileno()
        self.readable = self.writable = False

    def note(self, events: int) -> None:
        """What epoll said."""
        self.readable |= bool(events & (select.EPOLLIN | select.EPOLLRDHUP | _FAILED))
        self.writable |= bool(events & (select.EPOLLOUT | _FAILED))

    def close(self, *, reset: bool) -> None:
        """Ends it, in order (FIN) or not (RST)."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()


@final
class _Lane:
    """One direction of one connection: bytes read at `source`, which `target` gets when they have arrived. `back` is the other."""

    __slots__ = (
        "_arrived_bytes",
        "_data",
        "_end_arrived",
        "_ended",
        "_taken_ns",
        "back",
        "direction",
        "finished",
        "flow",
        "source",
        "target",
    )

    back: "_Lane"

    def __init__(self, source: _Socket, target: _Socket, direction: _Direction, flow: Flow) -> None:
        self.source, self.target, self.direction, self.flow = source, target, direction, flow
        self.finished = False
        self._data: deque[memoryview] = deque()  # all that was read and not handed on
        self._arrived_bytes = 0  # of it
        self._taken_ns: int | None = None  # a receiver that takes it at once took it then, however late we are
        self._ended = self._end_arrived = False

    def arrive(self, size_bytes: int | None, at_ns: int) -> None:
        """Notes an arrival (None: of the end), to be handed on by `give` before anything else happens."""
        if size_bytes is None:
            self._end_arrived = True
            return
        self._taken_ns = at_ns if not self._arrived_bytes or self._taken_ns else None
        self._arrived_bytes += size_bytes

    def give(self, now_ns: int) -> None:
        """Hands on what has arrived, as far as the target takes it. Raises `OSError` where the target is gone."""
        given_bytes = 0
        try:
            while self._arrived_bytes and self.target.writable:
                head = self._data[0]
                count = self._send(head[: self._arrived_bytes])
                given_bytes += count
                self._arrived_bytes -= count
                if count < len(head):
                    self._data[0] = head[count:]
                else:
                    self._data.popleft()
        except BlockingIOError:
            self.target.writable = False
        if given_bytes:
            self.direction.wire.taken(self.flow, given_bytes, self._taken_ns or now_ns)
        self._taken_ns = None  # whatever is left waits for its receiver
        if self._end_arrived and not self._arrived_bytes and not self.finished:
            self.finished = True
            self.target.socket.shutdown(socket.SHUT_WR)

    def _send(self, data: memoryview) -> int:
        """How much of `data` the target took, counted."""
        count = 0
        self.direction.carried_bytes += len(data)
        try:
            count = self.target.socket.send(data)
        finally:
            self.direction.carried_bytes -= len(data) - count
        return count

    def read(self, now_ns: int) -> None:
        """Reads ahead. Raises `OSError` where the source broke."""
        try:
            while self.source.readable and not self._ended and self.flow.backlog_bytes < _AHEAD_BYTES:
                piece = self.source.socket.recv(_READ_BYTES)
                if piece:
                    self._data.append(memoryview(piece))
                    self.direction.wire.offer(self.flow, len(piece), now_ns)
                else:
                    self._ended = True
                    self.direction.wire.end(self.flow, now_ns)
        except BlockingIOError:
            self.source.readable = False
