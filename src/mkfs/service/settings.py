"""What a mounted process needs to know. Plain values, so that they travel to a daemon as JSON, over a pipe. Files of credentials
are named, and read where they are used; a proxy's URL may hold a password, and no `repr` shows it.
"""

from dataclasses import dataclass, field
from typing import Final, final

from mkfs.content.prefetch import Prefetch
from mkfs.proof.trust_settings import TrustSettings
from mkfs.registry.settings import ClientSettings
from mkfs.service.listening import Address

STOP_SECONDS: Final = 5.0  # a page in memory or a chunk on its way comes in less; systemd waits 90 s for the end, Kubernetes 30
MIN_FREE_RATIO: Final = 0.10  # what a disk needs to stay fast, and its other users to go on


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Where an artifact comes from and what may be kept of it."""

    reference: str  # full: aliases are replaced already
    cache_dir: str  # absolute
    client: ClientSettings = field(default_factory=ClientSettings)
    cache_size_bytes: int | None = None  # what the cache may occupy; None: as much as the next two leave
    min_free_ratio: float = MIN_FREE_RATIO  # of the file system's bytes and inodes
    min_free_bytes: int = 0
    trust: TrustSettings = field(default_factory=TrustSettings)
    prefetch: Prefetch = Prefetch.NONE  # what is fetched ahead of readers; who goes through a layer by himself needs none
    deferred: bool = False  # reads do not wait for a proof (`content.deferred`)
    offline: bool = False  # from the cache alone; nothing is asked
    filters: tuple[str, ...] = ()  # as typed, and read once already
    labels: tuple[str, ...] = ()  # of the artifact meant in an index, as typed
    reference_hosts: tuple[str, ...] = ()  # registries to which an artifact may lead us though it is at another


@final
@dataclass(frozen=True, slots=True)
class NotifySettings:
    """A service manager that wants to be told: see `service.notify`."""

    socket: str  # a path, or `@` and a name
    watchdog_seconds: float | None = None  # it ends a process that it has not heard of for so long; None: it does not watch


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
    noexec: bool = False  # no program in it can be run
    timeout_seconds: float | None = None  # until it must be readable; None: however long it takes
    progress_seconds: float = 10.0  # between two words on how far compressed layers are
    tag_ttl_seconds: float | None = None  # how often it is looked whether the tag moved; None: never
    fill: bool = False  # fetch all of it in the background
    xattr: bool = False  # answer user.mkfs.* attributes
    scrub_bytes_per_second: int | None = None  # None: no scrubbing
    verbosity: int = 0  # -1 warnings only, 0 information, 1 and more debugging
    log_file: str | None = None  # None: stderr
    log_format: str = "auto"  # one of `logs.FORMATS`
    log_level: str | None = None  # one of `logs.LEVELS`; None: `verbosity` says
    journal_stream: str = ""  # what the environment says of the journal, by which `auto` knows it
    metrics_address: Address | None = None  # None: nothing is told over HTTP
    control_socket: str | None = None  # where `status` and `wait` ask (service.control); None: nowhere
    stop_timeout_seconds: float = STOP_SECONDS  # how long reads under way may take when told to stop
    notify: NotifySettings | None = None  # a service manager that wants to be told
