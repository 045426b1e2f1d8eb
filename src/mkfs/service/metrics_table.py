"""Every metric there is: its name, what it counts, and where that is read. docs/METRICS.md and what is exported come from here.

Rules of this file, after Prometheus' own (prometheus.io/docs/practices/naming): a name is `mkfs_`, what is counted, the base unit,
and `_total` where it only grows. A label has few values, all of them listed here: never a path, a reference or a host, which
belong into logs and `status`. A metric that is *stable* keeps name, unit and labels until a major version.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, final

from msgspec import Struct

from mkfs.fuse import requests
from mkfs.histogram import Distribution
from mkfs.proof.policy import Trust
from mkfs.registry import traffic
from mkfs.service.moment import Moment


@final
class Kind(Enum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # a gauge that is always 1; what it says is in its labels


@final
class Stability(Enum):
    """What may be relied upon."""

    STABLE = "stable"
    EXPERIMENTAL = "experimental"  # may be renamed, or go, with any version


@final
class Label(Struct, frozen=True):
    """A label and all of its values; without any: one for each process."""

    name: str
    values: tuple[str, ...] = ()


Value = (
    float | Distribution | Mapping[tuple[str], float] | Mapping[tuple[str, str], float]
)  # a mapping: by the values of the labels


@final
class Metric(Struct, frozen=True, kw_only=True):
    """One metric. `read` takes it from a moment; None where it says nothing now. Process metrics have another source."""

    name: str
    kind: Kind
    help: str
    unit: str = ""  # a base unit, which the name ends in
    labels: tuple[Label, ...] = ()
    stability: Stability = Stability.STABLE
    read: Callable[[Moment], Value | None] | None = None


_EXPERIMENTAL: Final = Stability.EXPERIMENTAL
_TIERS: Final = Label("tier", ("memory", "disk"))
_ANSWERS: Final = Label("answer", ("now", "waited"))
# What a layer's proof rests on, as a label's value.
PROOFS: Final = {
    Trust.OWN: "own",
    Trust.SIGNED: "signed",
    Trust.REGISTRY: "registry",
    Trust.LAYER: "layer",
    Trust.DEFERRED: "deferred",
}

# Of the process, mounted or not.
PROCESS: Final = (
    Metric(
        name="mkfs_build_info",
        kind=Kind.INFO,
        help="Always 1; the labels say what runs.",
        labels=(Label("version"), Label("python")),
    ),
    Metric(
        name="mkfs_mount_ready",
        kind=Kind.GAUGE,
        help="1 while the directory is mounted and served, else 0.",
    ),
    Metric(
        name="mkfs_loop_lag_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="How late the loop wakes, measured once a second: all requests wait that long at least.",
        stability=_EXPERIMENTAL,
    ),
)

# Of the process, from prometheus_client: named as in the exporters of other programs.
COLLECTED: Final = (
    Metric(
        name="process_cpu_seconds_total",
        kind=Kind.COUNTER,
        unit="seconds",
        help="Total user and system CPU time spent in seconds.",
    ),
    Metric(
        name="process_resident_memory_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="Resident memory size in bytes.",
    ),
    Metric(
        name="process_virtual_memory_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="Virtual memory size in bytes.",
    ),
    Metric(
        name="process_start_time_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Start time of the process since unix epoch in seconds.",
    ),
    Metric(name="process_open_fds", kind=Kind.GAUGE, help="Number of open file descriptors."),
    Metric(name="process_max_fds", kind=Kind.GAUGE, help="Maximum number of open file descriptors."),
)

_FUSE: Final = (
    Metric(
        name="mkfs_fuse_requests_total",
        kind=Kind.COUNTER,
        labels=(Label("operation", requests.OPERATIONS), Label("result", (requests.OK, *requests.ERRORS, requests.OTHER))),
        help="Requests of the kernel that were answered. ENOENT of lookup is an ordinary answer, EIO never is.",
        read=lambda moment: moment.fuse.answers,
    ),
    Metric(
        name="mkfs_fuse_reads_total",
        kind=Kind.COUNTER,
        labels=(_ANSWERS,),
        help="Reads, by whether they could be answered at once; those that still wait included.",
        read=lambda moment: {("now",): moment.files.reads_now, ("waited",): moment.files.reads_waited},
    ),
    Metric(
        name="mkfs_fuse_reads_waiting",
        kind=Kind.GAUGE,
        help="Reads that wait now: for the disk, the registry, or a proof.",
        read=lambda moment: moment.files.waiting,
    ),
    Metric(
        name="mkfs_fuse_read_wait_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="How long reads took that could not be answered at once, whatever came of them.",
        read=lambda moment: moment.waits.seconds,
    ),
    Metric(
        name="mkfs_fuse_read_size_bytes",
        kind=Kind.HISTOGRAM,
        unit="bytes",
        help="How much reads were answered with.",
        read=lambda moment: moment.fuse.read_size_bytes,
    ),
    Metric(
        name="mkfs_fuse_served_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes that readers were given, all of them proven. What the kernel kept and gave again is not seen here.",
        read=lambda moment: moment.files.bytes_served,
    ),
    Metric(
        name="mkfs_fuse_opened_files_total",
        kind=Kind.COUNTER,
        help="Files that were opened.",
        read=lambda moment: moment.files.opens,
    ),
    Metric(
        name="mkfs_fuse_open_files",
        kind=Kind.GAUGE,
        help="Files that are open now.",
        read=lambda moment: moment.files.open_files,
    ),
)

_REGISTRY: Final = (
    Metric(
        name="mkfs_registry_requests_total",
        kind=Kind.COUNTER,
        labels=(Label("method", traffic.METHODS), Label("outcome", traffic.OUTCOMES)),
        help="Requests to registries, mirrors, storage and token hosts, by the class of the answer's status.",
        read=lambda moment: moment.registry.traffic.outcomes,
    ),
    Metric(
        name="mkfs_registry_first_byte_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="From sending a request to the head of its answer, connecting included.",
        read=lambda moment: moment.registry.traffic.first_byte_seconds,
    ),
    Metric(
        name="mkfs_registry_request_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="From sending a request to the end of what was wanted of its answer.",
        read=lambda moment: moment.registry.traffic.total_seconds,
    ),
    Metric(
        name="mkfs_registry_received_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of answers' bodies. Over mkfs_fuse_served_bytes_total that is amplification.",
        read=lambda moment: moment.registry.received_bytes,
    ),
    Metric(
        name="mkfs_registry_broken_answers_total",
        kind=Kind.COUNTER,
        help="Answers that ended before they were complete, or stalled. What had come of a layer is kept.",
        read=lambda moment: moment.registry.traffic.broken,
    ),
    Metric(
        name="mkfs_registry_open_answers",
        kind=Kind.GAUGE,
        help="Requests that are under way now.",
        read=lambda moment: moment.registry.answers,
    ),
    Metric(
        name="mkfs_registry_retries_total",
        kind=Kind.COUNTER,
        help="Small requests (manifests, configs, tokens) that were tried again.",
        read=lambda moment: moment.registry.retries,
    ),
    Metric(
        name="mkfs_registry_retries_denied_total",
        kind=Kind.COUNTER,
        help="Those that were not, as their host had used up its retries.",
        read=lambda moment: moment.registry.retries_denied,
    ),
    Metric(
        name="mkfs_registry_redirects_total",
        kind=Kind.COUNTER,
        help="Redirects that were followed.",
        read=lambda moment: moment.registry.redirects,
    ),
    Metric(
        name="mkfs_registry_passed_over_total",
        kind=Kind.COUNTER,
        help="Mirrors that had not what was asked for, or failed, so that the next host was asked.",
        read=lambda moment: moment.registry.passed_over,
    ),
    Metric(
        name="mkfs_registry_held_back_total",
        kind=Kind.COUNTER,
        help="Requests that waited, or were given up, because their host asked to be left alone (429, Retry-After).",
        read=lambda moment: moment.registry.held_back,
    ),
    Metric(
        name="mkfs_registry_slot_waits_total",
        kind=Kind.COUNTER,
        help="Requests that waited for others to end.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.registry.slot_waits,
    ),
    Metric(
        name="mkfs_registry_warnings_total",
        kind=Kind.COUNTER,
        help="Different warnings that hosts gave; the log has them.",
        read=lambda moment: moment.registry.warnings,
    ),
    Metric(
        name="mkfs_registry_tags_moved_total",
        kind=Kind.COUNTER,
        help="Times that the tag which was mounted, or of a repository one that somebody looked at, came to mean something else. "
        "A mount of a tag shows what it showed; a repository's link follows, unless policy refuses that.",
        read=lambda moment: moment.registry.tags_moved,
    ),
)

_CACHE: Final = (
    Metric(
        name="mkfs_cache_hits_total",
        kind=Kind.COUNTER,
        labels=(_TIERS,),
        help="Reads of layers that the cache answered in full.",
        read=lambda moment: {("memory",): moment.cache.memory_hits, ("disk",): moment.cache.disk_hits},
    ),
    Metric(
        name="mkfs_cache_hit_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        labels=(_TIERS,),
        help="Bytes of these reads.",
        read=lambda moment: {("memory",): moment.cache.memory_bytes, ("disk",): moment.cache.disk_bytes},
    ),
    Metric(
        name="mkfs_cache_misses_total",
        kind=Kind.COUNTER,
        help="Reads of layers that the cache could not answer, so that they waited for bytes to come.",
        read=lambda moment: moment.tally.misses,
    ),
    Metric(
        name="mkfs_cache_hashed_chunks_total",
        kind=Kind.COUNTER,
        help="Chunks that were read from the disk and found right.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.cache.hashed_chunks,
    ),
    Metric(
        name="mkfs_cache_damaged_total",
        kind=Kind.COUNTER,
        help="Chunks, files, indexes and documents on the disk that were not what they should be. None was served.",
        read=lambda moment: moment.cache.damaged,
    ),
    Metric(
        name="mkfs_cache_published_layers_total",
        kind=Kind.COUNTER,
        help="Layers that became readable, whole, through this mount.",
        read=lambda moment: moment.cache.published,
    ),
    Metric(
        name="mkfs_cache_published_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of these layers.",
        read=lambda moment: moment.cache.published_bytes,
    ),
    Metric(
        name="mkfs_cache_stored_chunks_total",
        kind=Kind.COUNTER,
        help="Chunks that became readable one by one through this mount.",
        read=lambda moment: moment.cache.stored_chunks,
    ),
    Metric(
        name="mkfs_cache_stored_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of these chunks.",
        read=lambda moment: moment.cache.stored_bytes,
    ),
    Metric(
        name="mkfs_cache_evicted_total",
        kind=Kind.COUNTER,
        help="Layers, documents and indexes that went to make room for this mount.",
        read=lambda moment: moment.cache.evicted,
    ),
    Metric(
        name="mkfs_cache_evicted_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes that they occupied.",
        read=lambda moment: moment.cache.evicted_bytes,
    ),
    Metric(
        name="mkfs_cache_size_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What the cache occupies, of all mounts that share it. Looked at when asked, for a twentieth of the time at most.",
        read=lambda moment: None if moment.space is None else moment.space.size_bytes,
    ),
    Metric(
        name="mkfs_cache_limit_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What it may occupy: --cache-size, or what --min-free leaves of the disk as it is now.",
        read=lambda moment: None if moment.space is None else moment.space.limit_bytes,
    ),
    Metric(
        name="mkfs_cache_free_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What is free on its disk.",
        read=lambda moment: None if moment.space is None else moment.space.free_bytes,
    ),
)

_LAYERS: Final = (
    Metric(
        name="mkfs_layers",
        kind=Kind.GAUGE,
        labels=(Label("proof", tuple(PROOFS.values())),),
        help="Layers by what their proof rests on: a chunk index of our own, a signed one, the registry's word; or, without one, "
        "the digest of the whole layer, which reads wait for, or (deferred) do not.",
        read=lambda moment: {(name,): moment.layers.proofs.get(trust, 0) for trust, name in PROOFS.items()},
    ),
    Metric(
        name="mkfs_layers_published",
        kind=Kind.GAUGE,
        help="Layers of which every byte is proven and in the cache.",
        read=lambda moment: moment.layers.published,
    ),
    Metric(
        name="mkfs_layers_provisional",
        kind=Kind.GAUGE,
        help="Layers whose names and sizes rest on headers that nothing proves yet.",
        read=lambda moment: moment.layers.provisional,
    ),
    Metric(
        name="mkfs_layer_fetches_total",
        kind=Kind.COUNTER,
        help="Fetches of whole layers that began.",
        read=lambda moment: moment.layers.fetches,
    ),
    Metric(
        name="mkfs_layer_fetched_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of layers that came from a registry, a mirror or a layout directory.",
        read=lambda moment: moment.layers.fetched_bytes,
    ),
    Metric(
        name="mkfs_chunk_requests_total",
        kind=Kind.COUNTER,
        help="Requests for runs of chunks, under a chunk index.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.tally.chunk_requests,
    ),
    Metric(
        name="mkfs_chunks_fetched_total",
        kind=Kind.COUNTER,
        help="Chunks that these asked for.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.tally.chunks_fetched,
    ),
    Metric(
        name="mkfs_mismatches_total",
        kind=Kind.COUNTER,
        labels=(Label("unit", ("layer", "chunk")),),
        help="Fetches that brought bytes which are not what their digest says. None was served; the log names host and range.",
        read=lambda moment: {("layer",): moment.tally.wrong_layers, ("chunk",): moment.tally.wrong_chunks},
    ),
    Metric(
        name="mkfs_deferred_mismatches_total",
        kind=Kind.COUNTER,
        help="Times that bytes which were read before their proof turned out wrong, or were never proven: --verify deferred alone.",
        read=lambda moment: moment.tally.wrong_answers,
    ),
    Metric(
        name="mkfs_layer_refusals_total",
        kind=Kind.COUNTER,
        help="Times that the cache had no room for what was fetched, or failed: it is fetched again, then.",
        read=lambda moment: moment.layers.refusals,
    ),
)

_PREFETCH: Final = (
    Metric(
        name="mkfs_prefetch_fetched_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of chunks that came ahead of readers: nobody waited for them when they came.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.layers.guessed_bytes,
    ),
    Metric(
        name="mkfs_prefetch_used_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Of these, what somebody has read since. The difference was wasted, so far.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.layers.guessed_bytes - moment.layers.unread_bytes,
    ),
    Metric(
        name="mkfs_prefetch_filled_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of chunks that came because all of it was asked for (--fill).",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.layers.filled_bytes,
    ),
    Metric(
        name="mkfs_prefetch_requests",
        kind=Kind.GAUGE,
        labels=(Label("urgency", ("demand", "readahead", "background")),),
        help="Requests for bytes of layers that are under way: somebody waits, ahead of readers, nobody asked.",
        stability=_EXPERIMENTAL,
        read=lambda moment: {
            ("demand",): moment.admission.demand,
            ("readahead",): moment.admission.readahead,
            ("background",): moment.admission.background,
        },
    ),
    Metric(
        name="mkfs_prefetch_streams",
        kind=Kind.GAUGE,
        help="How many requests at once the link rewards now, as far as that was tried.",
        stability=_EXPERIMENTAL,
        read=lambda moment: moment.admission.streams,
    ),
)

MOUNT: Final = (*_FUSE, *_REGISTRY, *_CACHE, *_LAYERS, *_PREFETCH)
# All of them, as the page shows them.
SECTIONS: Final = {
    "The mount": PROCESS,
    "Requests of the kernel": _FUSE,
    "Registries": _REGISTRY,
    "The cache": _CACHE,
    "Layers": _LAYERS,
    "Ahead of readers": _PREFETCH,
    "The process": COLLECTED,
}
ALL: Final = tuple(metric for metrics in SECTIONS.values() for metric in metrics)
