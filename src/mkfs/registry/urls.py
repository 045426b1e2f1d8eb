"""URLs as this room uses them: absolute, http or https, taken apart once, and silent about path and query.

Rules of this file: pure values. What is checked is what is sent: an `Origin` holds the very host and port that a connection is made
to, so no second parser can read the same text another way. No text of a `Url` shows its path or query, where signed addresses keep
their secrets. User and password in a URL are refused, and so is a host that looks like a number but is no plain IPv4 address:
resolvers take `0x7f.1` for 127.0.0.1, and no rule about addresses would notice.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Self, final
from urllib.parse import quote, urljoin

from msgspec import Struct

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65535
# RFC 3986, 3.1 to 3.4. Underscores in names: not in DNS, but in the names people give to containers.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_LEGAL: Final = "!#$%&'()*+,-./:;=?@[]_~"  # what `quote` leaves alone besides letters and digits: RFC 3986 and "%"
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@final
class Origin(Struct, frozen=True):
    """Whom one talks to. `host` is in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, scheme: str, authority: str) -> Self:
        """Reads `host[:port]`. Raises `ValueError`."""
        url = Url.parse(f"{scheme}://{authority}")
        if url.target != "/":
            raise ValueError("not a host and port")
        return cls(url.origin.scheme, url.origin.host, url.origin.port)

    @property
    def authority(self) -> str:
        """`host[:port]` as in a Host header: without the port where it goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@final
@dataclass(frozen=True, slots=True)
class Url:
    """An origin and what to ask it for: path and query as they are sent."""

    origin: Origin
    target: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads an absolute URL; characters that none may hold are percent-encoded first, a fragment is dropped.

        Raises `ValueError`, without the text.
        """
        match = _URL.fullmatch(quote(text.strip(), safe=_LEGAL))
        if match is None:
            raise ValueError("not an http or https URL")
        scheme = match["scheme"].lower()
        port = int(match["port"] or _DEFAULT_PORT[scheme])
        if not 0 < port <= _HIGHEST_PORT:
            raise ValueError("not a port")
        return cls(Origin(scheme, _host(match["host"].lower()), port), (match["path"] or "/") + (match["query"] or ""))

    def join(self, location: str) -> Self:
        """Where a `Location` that came from here leads; it may be relative. Raises `ValueError`, without the text."""
        try:
            joined = urljoin(f"{self.origin}{self.target}", quote(location.strip(), safe=_LEGAL))
        except ValueError:
            raise ValueError("not a location") from None  # the cause would quote it
        return type(self).parse(joined)

    def at(self, target: str) -> Self:
        """Another path and query at the same origin."""
        return type(self)(self.origin, target)

    def __str__(self) -> str:
        return f"{self.origin}/…"


def _host(text: str) -> str:
    host = text.removesuffix(".")
    try:
        if text.startswith("["):
            return ipaddress.IPv6Address(text[1:-1]).compressed
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError("not an address") from None  # the cause would quote it
    if not host or ".." in text or host.startswith("."):
        raise ValueError("not a host name")
    return host
