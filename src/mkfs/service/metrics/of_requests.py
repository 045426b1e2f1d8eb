"""Metrics of who asks: the kernel for readers, and the mount at registries."""

from typing import Final

from mkfs.fuse import requests
from mkfs.registry import traffic
from mkfs.service.metrics.metric import Kind, Label, Metric, Stability

_ANSWERS: Final = Label("answer", ("now", "waited"))
FUSE: Final = (
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

REGISTRY: Final = (
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
        stability=Stability.EXPERIMENTAL,
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
