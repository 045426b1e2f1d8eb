"""How registries are spoken to: plain values, decided once, which travel to a daemon as JSON. Files are named here and read where
they are used. Light to import: the command line needs no HTTP client to fill these in.
"""

from dataclasses import dataclass, field
from typing import final

from mkfs.registry.proxies import Proxies


@final
@dataclass(frozen=True, slots=True)
class ClientSettings:
    """All of it. `plain_http`: HTTP to every registry, credentials included. Logins are looked for in `credential_files`, in
    order.
    """

    plain_http: bool = False
    credential_files: tuple[str, ...] = ()
    proxies: Proxies = field(default_factory=Proxies)
