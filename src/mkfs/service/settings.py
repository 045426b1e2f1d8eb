"""What a mounted process needs to know. Plain values, so that they travel to a daemon as JSON, over a pipe. The credentials
file is named, and read where it is used; a proxy's URL may hold a password, and no `repr` shows it.
"""

from dataclasses import dataclass, field
from typing import final

from mkfs.registry.proxies import Proxies


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Where an artifact comes from and what may be kept of it."""

    reference: str  # full: aliases are replaced already
    cache_dir: str  # absolute
    credentials_file: str  # docker's config.json; need not exist
    plain_http: bool = False
    proxies: Proxies = field(default_factory=Proxies)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MountSettings:
    """Where and how it is shown."""

    source: SourceSettings
    mountpoint: str  # absolute
    allow_other: bool
    uid: int
    gid: int
    umask: int
    read_timeout_seconds: float
    verbosity: int = 0  # -1 warnings only, 0 information, 1 and more debugging
    log_file: str | None = None  # None: stderr
