"""A mount at one moment, as its parts count: what a report (`service.status`) is made of. Values alone."""

from typing import TYPE_CHECKING, final

from msgspec import Struct

from mkfs.cache.statistics import CacheStatistics
from mkfs.content.admission import AdmissionStatistics
from mkfs.content.last_errors import LastError
from mkfs.content.layer import LayerStatistics
from mkfs.content.reads import Obstacle
from mkfs.fuse.connection import Tuning
from mkfs.oci.digest import Digest
from mkfs.registry.transport import ClientStatistics
from mkfs.service.rates import Rate
from mkfs.service.tag_standing import TagStanding
from mkfs.service.weighing import Space
from mkfs.vfs.model_fs import FileSystemStatistics
from mkfs.vfs.waits import Waited, WaitStatistics

if TYPE_CHECKING:  # only a repository has them
    from mkfs.service.targets import TagState


@final
class SeenLayer(Struct, frozen=True):
    """A layer at one moment. `cached_bytes` of its content are in the cache; `complete`: all of them."""

    label: str
    digest: Digest
    size_bytes: int
    content_bytes: int | None
    statistics: LayerStatistics
    cached_bytes: int
    complete: bool


@final
class SeenArtifact(Struct, frozen=True):
    """An artifact at one moment. `resolved_at`: seconds since the epoch."""

    reference: str
    digest: Digest
    index: Digest | None
    format_name: str
    resolved_at: float
    tag: TagStanding | None
    layers: tuple[SeenLayer, ...]


@final
class Named(Struct, frozen=True):
    """What a person knows an inode by: its path in the mount, and the label of the layer that it lies in."""

    path: bytes
    layer: str


@final
class SeenWait(Struct, frozen=True):
    """A read that waits: `seconds` so far, for `obstacle`."""

    file: Named
    start: int
    stop: int
    seconds: float
    obstacle: Obstacle


@final
class SeenCache(Struct, frozen=True):
    """The cache at one moment, but for its `space`, which may be a little older; None: nobody knows."""

    path: str
    size_limit_bytes: int | None
    space: Space | None
    statistics: CacheStatistics


@final
class Seen(Struct, frozen=True, kw_only=True):
    """Everything at one moment, `at` and `mounted_at` in seconds since the epoch."""

    pid: int
    mountpoint: str
    at: float
    mounted_at: float
    uptime_seconds: float
    readable_seconds: float
    deferred: bool
    prefetch: str
    offline: bool
    artifacts: tuple[SeenArtifact, ...]
    layers: tuple[SeenLayer, ...]  # of all artifacts, each once
    tags: "tuple[TagState, ...] | None"
    file_system: FileSystemStatistics
    waits: WaitStatistics
    waiting: tuple[SeenWait, ...]
    slowest: tuple[tuple[Named, Waited], ...]
    rate: Rate
    admission: AdmissionStatistics
    ahead_bytes: int
    ahead_limit_bytes: int
    errors: tuple[LastError, ...]
    cache: SeenCache
    client: ClientStatistics | None
    hosts_aside: tuple[str, ...]
    tuning: Tuning | None
