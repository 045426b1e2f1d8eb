"""Which hosts must not turn out to be in a private network, whatever their names resolve to at that moment.

An artifact may name another registry; its author does not get to make us call addresses that only this machine can reach.
"""

from typing import final

from mkfs.registry.hopeless import Hopeless
from mkfs.registry.hosts import is_private
from mkfs.registry.urls import Origin


@final
class Peers:
    """Asked for every connection, by whoever makes it, before a byte is sent. Through a proxy nobody can tell."""

    def __init__(self) -> None:
        self._public: set[tuple[str, int]] = set()

    def must_be_public(self, origin: Origin) -> None:
        """From now on no connection to the host and port of `origin` may lead into a private network."""
        self._public.add((origin.host, origin.port))

    def check(self, host: str, port: int, address: str) -> None:
        """Returns if a connection to `host` that leads to `address` may be used. Raises `Hopeless`."""
        if (host, port) in self._public and is_private(address):
            what = f"an artifact refers to {host}, and that name leads into a private network"
            raise Hopeless(what, hint="to allow it, name its address: in the artifact and with --allow-reference-host")
