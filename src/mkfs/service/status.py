"""The report of a mount (`service.report`), made of what its parts count. Pure: snapshots in, a report out."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mkfs import __version__
from mkfs.content.last_errors import LastError
from mkfs.fuse.connection import Tuning
from mkfs.proof.policy import Trust
from mkfs.registry.transport import ClientStatistics
from mkfs.service.report import (
    SCHEMA_VERSION,
    ArtifactReport,
    CacheReport,
    ColdStartReport,
    ErrorReport,
    KernelReport,
    LayerReport,
    LinkReport,
    ReadsReport,
    RegistryReport,
    Report,
    SlowReport,
    TagReport,
    TransferReport,
    WaitReport,
)
from mkfs.service.seen import Seen, SeenArtifact, SeenCache, SeenLayer, SeenWait
from mkfs.service.tag_standing import TagStanding
from mkfs.units import KIB

if TYPE_CHECKING:  # only a repository has them
    from mkfs.service.targets import TagState


def report_of(seen: Seen) -> Report:
    """What there is to say."""
    return Report(
        schema_version=SCHEMA_VERSION,
        version=__version__,
        pid=seen.pid,
        mountpoint=seen.mountpoint,
        at=_time(seen.at),
        mounted_at=_time(seen.mounted_at),
        uptime_seconds=seen.uptime_seconds,
        verify="deferred" if seen.deferred else "strict",
        prefetch=seen.prefetch,
        offline=seen.offline,
        warm=all(layer.complete for layer in seen.layers),
        proven=all(_is_proven(layer) for layer in seen.layers),
        artifacts=tuple(map(_artifact, seen.artifacts)),
        tags=None if seen.tags is None else tuple(map(_link, seen.tags)),
        reads=_reads(seen),
        waiting=tuple(map(_wait, seen.waiting)),
        transfer=_transfer(seen),
        cold_start=_cold_start(seen),
        errors=tuple(map(_error, seen.errors)),
        cache=_cache(seen.cache),
        registry=None if seen.client is None else _registry(seen.client, seen.hosts_aside),
        kernel=_kernel(seen.tuning),
    )


def _is_proven(layer: SeenLayer) -> bool:
    """Whether all bytes of it passed by once on this node and had its digest: its names and its chunk index are our own then."""
    return layer.statistics.trust is Trust.OWN


def _fetched_bytes(seen: Seen) -> int:
    """What came from registries."""
    return sum(layer.statistics.traffic.fetched_bytes for layer in seen.layers)


def _artifact(seen: SeenArtifact) -> ArtifactReport:
    return ArtifactReport(
        reference=seen.reference,
        digest=str(seen.digest),
        index_digest=None if seen.index is None else str(seen.index),
        format=seen.format_name,
        resolved_at=_time(seen.resolved_at),
        tag=None if seen.tag is None else _tag(seen.tag),
        layers=tuple(map(_layer, seen.layers)),
    )


def _link(state: "TagState") -> LinkReport:
    shown, refused = (None if each is None else str(each) for each in (state.shown, state.refused))
    return LinkReport(tag=state.tag, digest=shown, refused_digest=refused, reason=state.reason)


def _tag(tag: TagStanding) -> TagReport:
    moved_at, asked_at = (None if each is None else _time(each) for each in (tag.moved_at, tag.asked_at))
    return TagReport(tag.tag, str(tag.digest), tag.moved, moved_at, asked_at)


def _layer(seen: SeenLayer) -> LayerReport:
    counts = seen.statistics
    return LayerReport(
        label=seen.label,
        digest=str(seen.digest),
        size_bytes=seen.size_bytes,
        received_bytes=counts.received_bytes,
        content_bytes=seen.content_bytes,
        proof=counts.trust.value,
        provisional=counts.provisional,
        published=counts.published,
        complete=seen.complete,
        cached_bytes=seen.cached_bytes,
        wanted_bytes=counts.reach.wanted_bytes,
        guessed_bytes=counts.reach.guessed_bytes,
        wasted_bytes=counts.reach.wasted_bytes,
        filled_bytes=counts.reach.filled_bytes,
        fetched_bytes=counts.traffic.fetched_bytes,
        requests=counts.traffic.requests,
        failed_requests=counts.traffic.failures,
        waiting=counts.waiting,
        refused_by_cache=counts.refusals,
        damaged_chunks=counts.refetched_chunks,
        hosts=counts.traffic.hosts,
    )


def _reads(seen: Seen) -> ReadsReport:
    counts, waits = seen.file_system, seen.waits
    return ReadsReport(
        answered_at_once=counts.reads_now,
        waited=counts.reads_waited,
        failed=counts.reads_failed,
        waiting=counts.waiting,
        open_files=counts.open_files,
        opened_files=counts.opens,
        longest_seconds=waits.longest_seconds,
        p50_seconds=waits.p50_seconds,
        p90_seconds=waits.p90_seconds,
        p99_seconds=waits.p99_seconds,
    )


def _wait(seen: SeenWait) -> WaitReport:
    return WaitReport(
        file=_text(seen.file.path),
        start=seen.start,
        stop=seen.stop,
        seconds=seen.seconds,
        waits_for=seen.obstacle.cause.value,
        layer=seen.file.layer,
        received_bytes=seen.obstacle.received_bytes,
        size_bytes=seen.obstacle.size_bytes,
        hosts=seen.obstacle.hosts,
    )


def _transfer(seen: Seen) -> TransferReport:
    fetched_bytes = _fetched_bytes(seen)
    wanted_bytes = sum(layer.statistics.reach.wanted_bytes for layer in seen.layers)
    served_bytes = seen.file_system.bytes_served
    return TransferReport(
        fetched_bytes=fetched_bytes,
        served_bytes=served_bytes,
        wanted_bytes=wanted_bytes,
        fetched_per_wanted=fetched_bytes / wanted_bytes if wanted_bytes else None,
        fetched_per_served=fetched_bytes / served_bytes if served_bytes else None,
        rate_seconds=seen.rate.seconds,
        fetched_bytes_per_second=seen.rate.fetched_bytes_per_second,
        served_bytes_per_second=seen.rate.served_bytes_per_second,
        requests_for_readers=seen.admission.demand,
        requests_ahead=seen.admission.readahead,
        requests_in_background=seen.admission.background,
        requests_waiting=seen.admission.waiting,
        streams=seen.admission.streams,
        ahead_bytes=seen.ahead_bytes,
        ahead_limit_bytes=seen.ahead_limit_bytes,
    )


def _cold_start(seen: Seen) -> ColdStartReport:
    reaches = [layer.statistics.reach for layer in seen.layers]
    return ColdStartReport(
        readable_seconds=seen.readable_seconds,
        wanted_bytes=sum(reach.wanted_bytes for reach in reaches),
        guessed_bytes=sum(reach.guessed_bytes for reach in reaches),
        wasted_bytes=sum(reach.wasted_bytes for reach in reaches),
        filled_bytes=sum(reach.filled_bytes for reach in reaches),
        fetched_bytes=_fetched_bytes(seen),
        slowest=tuple(
            SlowReport(
                file=_text(file.path),
                start=waited.start,
                stop=waited.stop,
                seconds=waited.seconds,
                waited_for=waited.cause.value,
                layer=file.layer,
            )
            for file, waited in seen.slowest
        ),
    )


def _error(error: LastError) -> ErrorReport:
    return ErrorReport(
        kind=error.kind,
        what=error.what,
        where=error.where,
        layer=error.layer,
        host=error.host,
        first_at=_time(error.first_at),
        last_at=_time(error.last_at),
        count=error.count,
        reads_failed=error.reads_failed,
    )


def _cache(seen: SeenCache) -> CacheReport:
    counts, space = seen.statistics, seen.space
    return CacheReport(
        path=seen.path,
        size_bytes=None if space is None else space.size_bytes,
        size_limit_bytes=seen.size_limit_bytes,
        disk_free_bytes=None if space is None else space.free_bytes,
        disk_kept_free_bytes=None if space is None else space.kept_free_bytes,
        memory_hits=counts.memory_hits,
        disk_hits=counts.disk_hits,
        damaged=counts.damaged,
        evicted=counts.evicted,
        evicted_bytes=counts.evicted_bytes,
    )


def _registry(counts: ClientStatistics, hosts_aside: tuple[str, ...]) -> RegistryReport:
    return RegistryReport(
        requests=counts.requests,
        received_bytes=counts.received_bytes,
        retries=counts.retries,
        retries_denied=counts.retries_denied,
        redirects=counts.redirects,
        held_back=counts.held_back,
        passed_over=counts.passed_over,
        open_answers=counts.answers,
        hosts_aside=hosts_aside,
    )


def _kernel(tuning: Tuning | None) -> KernelReport:
    if tuning is None:
        return KernelReport(max_background=None, congestion_threshold=None, read_ahead_bytes=None)
    return KernelReport(
        max_background=tuning.max_background,
        congestion_threshold=tuning.congestion_threshold,
        read_ahead_bytes=None if tuning.read_ahead_kib is None else tuning.read_ahead_kib * KIB,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
