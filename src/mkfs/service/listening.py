"""Where a mount may be asked over HTTP: reading the words, and taking the place before anything else is done."""

import errno
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, final

from msgspec import Struct

from mkfs.errors import UsageError

if TYPE_CHECKING:  # every command loads this module, few listen
    from socket import socket

LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 16  # as many as are served at once
_PORTS: Final = 1 << 16
_EXPECTED: Final = "expected HOST:PORT, :PORT or PORT, where HOST is an address or localhost: 9400, 0.0.0.0:9400, [::1]:9400"
_REMEDIES: Final = {
    errno.EADDRINUSE: "another mount or program listens there: name another port, or 0 for one that is free",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address",
    errno.EACCES: "ports below 1024 are root's: name another port",
}


@final
class Address(Struct, frozen=True):
    """A place on this machine. Port 0: any that is free."""

    host: str  # of an interface, in digits
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads `HOST:PORT`; without HOST it is this machine alone that may ask. Raises `UsageError`.

    Names other than localhost are refused: which interface they mean is not for a resolver to say.
    """
    head, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < _PORTS):
        raise UsageError(f"{text!r} is no address to listen on", hint=_EXPECTED)
    bracketed = head.startswith("[") and head.endswith("]")
    host = head[1:-1] if bracketed else head
    if not head or head == "localhost":
        return Address(LOOPBACK, int(port))
    try:
        found = ip_address(host)
    except ValueError:
        raise UsageError(f"{text!r} is no address to listen on", hint=_EXPECTED) from None
    if isinstance(found, IPv6Address) is not bracketed:
        raise UsageError(f"{text!r} is no address to listen on", hint=_EXPECTED)
    return Address(str(found), int(port))


def listen(address: Address) -> "socket":
    """A socket that others can connect to from now on; it blocks. Raises `UsageError` where the place cannot be had."""
    import socket

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a mount that ended blocks the next one for a minute
        taken.bind((address.host, address.port))
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        hint = _REMEDIES.get(error.errno or 0, "name another address")
        raise UsageError(f"cannot listen on {address}: {error.strerror}", "--metrics-address", hint) from error
    return taken


def bound(taken: "socket") -> Address:
    """Where a socket listens."""
    host, port = taken.getsockname()[:2]
    return Address(host, port)
