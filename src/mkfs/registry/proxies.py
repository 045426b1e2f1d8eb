"""Which proxy a request goes through, as `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say. Pure: the caller reads the
environment.

There is no standard; this follows curl and Go where they agree: lower-case names win, `NO_PROXY` lists names (with all below them),
addresses, networks and `*`, each with an optional port. As in Go, this machine is never asked through a proxy.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self, final

from mkfs.registry.hosts import is_loopback
from mkfs.registry.urls import Origin


@final
@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies in force. Their URLs may hold passwords, so `repr` shows none. The default is none."""

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    exceptions: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """What the variables say."""

        def value(name: str) -> str:
            return environment.get(name) or environment.get(name.upper()) or ""

        exceptions = tuple(each.strip().lower() for each in value("no_proxy").split(",") if each.strip())
        every = value("all_proxy")
        return cls(value("http_proxy") or every, value("https_proxy") or every, exceptions)

    def for_origin(self, origin: Origin) -> str:
        """The URL of the proxy for requests to `origin`; "" where it is asked directly."""
        proxy = self.https if origin.scheme == "https" else self.http
        if not proxy or is_loopback(origin.host) or any(_matches(each, origin) for each in self.exceptions):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _matches(exception: str, origin: Origin) -> bool:
    if exception == "*":
        return True
    if "/" in exception:
        return _within(origin.host, exception)
    name, colon, port = exception.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.startswith("[")):
        if int(port) != origin.port:
            return False
        exception = name
    name = exception.strip("[]").removeprefix("*").removeprefix(".")
    return origin.host == name or origin.host.endswith(f".{name}")


def _within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
