"""Who is at the other end of a Unix socket, by the kernel's word (unix(7), SO_PEERCRED)."""

import socket
import struct
from typing import Final, Protocol

_UCRED: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Connected(Protocol):
    """A socket of the standard library or of trio."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """See `socket.socket.getsockopt`."""


def peer_of(connection: Connected) -> tuple[int, int]:
    """The process that connected, or that listens, and its user: pid and uid as they were then. Raises `OSError`."""
    pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid
