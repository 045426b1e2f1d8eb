"""How registries are spoken to: plain values, decided once, which travel to a daemon as JSON. Files are named here and read where
they are used. Light to import: the command line needs no HTTP client to fill these in.
"""

from dataclasses import dataclass, field
from typing import Final, final

from mkfs.registry.proxies import Proxies

UNVERIFIED: Final = (
    "TLS certificates are NOT verified: whoever is on the way can see what is asked for, credentials included, and decide what a "
    "tag means"
)


@final
@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Whom TLS believes; see `registry.trust`. `ca_file` adds to the system's authorities, `directories` are `certs.d` ones."""

    ca_file: str = ""
    verify: bool = True
    directories: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class HostsSettings:
    """Who is asked instead of a registry; see `registry.routes`. `directories` hold a directory with a `hosts.toml` for each
    registry; the files of `registries_conf` all exist, and the last one counts.
    """

    directories: tuple[str, ...] = ()
    registries_conf: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ClientSettings:
    """All of it. `plain_http`: HTTP to every registry, credentials included; False: TLS also on this machine; None: see
    `hosts.origin_of`. Logins are looked for in `credential_files`, in order.
    """

    plain_http: bool | None = None
    credential_files: tuple[str, ...] = ()
    tls: TlsSettings = field(default_factory=TlsSettings)
    hosts: HostsSettings = field(default_factory=HostsSettings)
    proxies: Proxies = field(default_factory=Proxies)
