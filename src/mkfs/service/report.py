"""What `status` says of one mount: values that travel as JSON over the control socket, and to whoever asks for JSON.

docs/STATUS.md has every field. Sizes are bytes, durations seconds, times RFC 3339 in UTC. Names of fields stay as long as
`SCHEMA_VERSION` does; new ones may come at any time. No field holds a URL, a header, or anything a registry was shown.
"""

from datetime import datetime
from typing import Final, final

from msgspec import Struct

SCHEMA_VERSION: Final = 1


@final
class TagReport(Struct, frozen=True):
    """A tag that the mount was made from. `moved_at`: when another meaning than the one shown was first seen."""

    tag: str
    digest: str  # what it means now, as far as was asked
    moved: bool
    moved_at: datetime | None
    asked_at: datetime | None  # when the registry was asked last; None: not since the mount


@final
class LayerReport(Struct, frozen=True, kw_only=True):
    """One layer. Layers with the same bytes are one. Bytes of compressed layers are those of their content, but for the first two
    and `fetched_bytes`.
    """

    label: str
    digest: str
    size_bytes: int  # as stored in the registry
    received_bytes: int  # of them, by a fetch of the whole that is under way
    content_bytes: int | None
    proof: str  # what a read rests on: a value of `proof.policy.Trust`
    provisional: bool  # names and sizes rest on headers that nothing proves yet
    published: bool  # all of it is in the cache as one
    complete: bool  # every byte of it is in the cache
    cached_bytes: int
    wanted_bytes: int
    guessed_bytes: int
    wasted_bytes: int
    filled_bytes: int
    fetched_bytes: int
    requests: int
    failed_requests: int
    waiting: int
    refused_by_cache: int
    damaged_chunks: int
    hosts: tuple[str, ...]


@final
class ArtifactReport(Struct, frozen=True, kw_only=True):
    """One artifact that is shown."""

    reference: str
    digest: str
    index_digest: str | None  # of the OCI index that it was chosen from
    format: str
    resolved_at: datetime
    tag: TagReport | None
    layers: tuple[LayerReport, ...]


@final
class LinkReport(Struct, frozen=True, kw_only=True):
    """A tag of a repository that is mounted. `digest` is what its link shows, null where it leads nowhere; `refused_digest` what
    the tag means where the policy refuses that, with the `reason`.
    """

    tag: str
    digest: str | None
    refused_digest: str | None
    reason: str


@final
class WaitReport(Struct, frozen=True, kw_only=True):
    """A read of `[start, stop)` of a file that waits, for a part of a layer of which `received_bytes` of `size_bytes` have come."""

    file: str
    start: int
    stop: int
    seconds: float
    waits_for: str  # a value of `content.reads.Cause`
    layer: str
    received_bytes: int
    size_bytes: int
    hosts: tuple[str, ...]


@final
class SlowReport(Struct, frozen=True, kw_only=True):
    """A read that waited, and what for."""

    file: str
    start: int
    stop: int
    seconds: float
    waited_for: str
    layer: str


@final
class ReadsReport(Struct, frozen=True, kw_only=True):
    """All reads since the mount. Those answered at once are no part of the percentiles."""

    answered_at_once: int
    waited: int
    failed: int
    waiting: int
    open_files: int
    opened_files: int
    longest_seconds: float
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


@final
class TransferReport(Struct, frozen=True, kw_only=True):
    """Bytes of layers: from the registry, to readers, and what readers wanted. Rates are of the last `rate_seconds`."""

    fetched_bytes: int
    served_bytes: int
    wanted_bytes: int
    fetched_per_wanted: float | None
    fetched_per_served: float | None
    rate_seconds: float
    fetched_bytes_per_second: float
    served_bytes_per_second: float
    requests_for_readers: int
    requests_ahead: int
    requests_in_background: int
    requests_waiting: int
    streams: int
    ahead_bytes: int
    ahead_limit_bytes: int


@final
class ColdStartReport(Struct, frozen=True, kw_only=True):
    """What it took from the start of the process until now."""

    readable_seconds: float
    wanted_bytes: int
    guessed_bytes: int
    wasted_bytes: int
    filled_bytes: int
    fetched_bytes: int
    slowest: tuple[SlowReport, ...]


@final
class ErrorReport(Struct, frozen=True, kw_only=True):
    """An error, the latest first."""

    kind: str
    what: str
    where: str
    layer: str
    host: str
    first_at: datetime
    last_at: datetime
    count: int
    reads_failed: int


@final
class CacheReport(Struct, frozen=True, kw_only=True):
    """The cache, which other mounts share; counts are this mount's. What it and its disk hold is as last weighed; None: not yet."""

    path: str
    size_bytes: int | None
    size_limit_bytes: int | None
    disk_free_bytes: int | None
    disk_kept_free_bytes: int | None
    memory_hits: int
    disk_hits: int
    damaged: int
    evicted: int
    evicted_bytes: int


@final
class RegistryReport(Struct, frozen=True, kw_only=True):
    """What was asked of all hosts together."""

    requests: int
    received_bytes: int
    retries: int
    retries_denied: int
    redirects: int
    held_back: int
    passed_over: int
    open_answers: int
    hosts_aside: tuple[str, ...]


@final
class KernelReport(Struct, frozen=True, kw_only=True):
    """The kernel's knobs of the mount, as they are in effect. None: it does not say."""

    max_background: int | None
    congestion_threshold: int | None
    read_ahead_bytes: int | None


@final
class Report(Struct, frozen=True, kw_only=True):
    """One mount at one moment."""

    schema_version: int
    version: str
    pid: int
    mountpoint: str
    at: datetime
    mounted_at: datetime
    uptime_seconds: float
    verify: str
    prefetch: str
    offline: bool
    warm: bool  # every byte of every layer is in the cache
    proven: bool  # every layer's bytes had its digest, here: names and bytes rest on nobody's word
    artifacts: tuple[ArtifactReport, ...]
    tags: tuple[LinkReport, ...] | None  # of a repository, those that somebody looked at; null: one artifact is mounted
    reads: ReadsReport
    waiting: tuple[WaitReport, ...]
    transfer: TransferReport
    cold_start: ColdStartReport
    errors: tuple[ErrorReport, ...]
    cache: CacheReport
    registry: RegistryReport | None
    kernel: KernelReport
