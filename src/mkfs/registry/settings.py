"""How registries are spoken to: plain values, decided once, which travel to a daemon as JSON. Files are named here and read where
they are used. Light to import: the command line needs no HTTP client to fill these in.
"""

from dataclasses import dataclass, field
from typing import final

from mkfs.registry.proxies import Proxies


@final
@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """The files to look into, first to last. `sudo_user`: whose command this is, where the files are root's all the same."""

    paths: tuple[str, ...] = ()
    sudo_user: str = ""


@final
@dataclass(frozen=True, slots=True)
class ClientSettings:
    """All of it. `plain_http`: HTTP to every registry, credentials included."""

    plain_http: bool = False
    credentials: CredentialFiles = field(default_factory=CredentialFiles)
    proxies: Proxies = field(default_factory=Proxies)
