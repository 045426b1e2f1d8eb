"""A report of a mount for a person: lines of text. Names come from artifacts and registries, so each is made printable."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from mkfs.errors import printable
from mkfs.fuse.mountinfo import unspelled
from mkfs.service.report import ArtifactReport, ErrorReport, LayerReport, LinkReport, Report, WaitReport
from mkfs.service.views import View
from mkfs.units import format_duration, format_size

# Why a read waits, by the value of `content.reads.Cause`.
_WHY: Final = {
    "disk": "our own disk",
    "chunks": "chunks of {layer}",
    "proof": "all of {layer}, to be proven",
    "another process": "another process of this node, which fetches {layer}",
}


def reference_of(view: View) -> str:
    """What is mounted, by the name a person knows it by."""
    if view.report is not None and view.report.artifacts and view.report.tags is None:
        return printable(view.report.artifacts[0].reference)
    try:
        return printable(unspelled(view.source))
    except ValueError:
        return printable(view.source)


def table(views: Sequence[View]) -> Iterator[str]:
    """A line for each mount, under a line of titles; one line where there is none."""
    if not views:
        yield "nothing is mounted"
        return
    rows = [("DIRECTORY", "STATE", "CACHED", "SERVED", "FETCHED", "WAIT", "REFERENCE"), *map(_row, views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{field:<{width}}" for field, width in zip(row, widths, strict=True)).rstrip()


def _row(view: View) -> tuple[str, ...]:
    report = view.report
    if report is None:
        return (printable(view.mountpoint), view.state.value, "-", "-", "-", "-", reference_of(view))
    return (
        printable(view.mountpoint),
        "warm" if report.warm else view.state.value,
        _share(report),
        format_size(report.transfer.served_bytes),
        format_size(report.transfer.fetched_bytes),
        str(report.reads.waiting),
        reference_of(view),
    )


def _share(report: Report) -> str:
    by_digest = {layer.digest: layer for artifact in report.artifacts for layer in artifact.layers}  # artifacts share layers
    layers = by_digest.values()
    size_bytes = sum(layer.size_bytes if layer.content_bytes is None else layer.content_bytes for layer in layers)
    return f"{sum(layer.cached_bytes for layer in layers) * 100 // size_bytes if size_bytes else 100} %"


def summary(view: View) -> str:
    """One line, for who looks again and again without a screen."""
    report = view.report
    if report is None:
        return f"{printable(view.mountpoint)}: {view.state.value}{f' ({printable(view.why)})' if view.why else ''}"
    moved = report.transfer
    rates = f"{format_size(int(moved.served_bytes_per_second))}/s to readers, {format_size(int(moved.fetched_bytes_per_second))}/s"
    waiting = f"{report.reads.waiting} reads wait"
    return f"{printable(view.mountpoint)}: {_share(report)} cached, {rates} from the registry, {waiting}"


def full(view: View) -> Iterator[str]:
    """Everything that a person may want to know of one mount."""
    report = view.report
    if report is None:
        yield summary(view)
        return
    yield from _head(report)
    for artifact in report.artifacts:
        yield from _artifact(artifact, report.at)
    yield from _section(f"waiting: {report.reads.waiting}", [_wait(wait) for wait in report.waiting])
    slowest = [
        f"{_seconds(slow.seconds):>12}  {_place(slow.file, slow.start, slow.stop)}, for {_why(slow.waited_for, slow.layer)}"
        for slow in report.cold_start.slowest
    ]
    if report.tags is not None:
        yield from _section("tags that were looked at", list(map(_link, report.tags)))
    yield from _section("waited longest", slowest)
    yield from _section("last errors", [_error(error, report.at) for error in report.errors])


def _head(report: Report) -> Iterator[str]:
    reads, moved, start, cache, kernel = report.reads, report.transfer, report.cold_start, report.cache, report.kernel
    uptime, offline = format_duration(report.uptime_seconds), ", offline" if report.offline else ""
    yield f"directory   {printable(report.mountpoint)}, mounted {_clock(report.mounted_at)} ({uptime} ago), pid {report.pid}"
    standing = "warm" if report.warm else "not warm"
    yield f"state       {standing}, {'proven' if report.proven else 'not proven'}, verify {report.verify}{offline}"
    waits = ""
    if reads.p50_seconds is not None and reads.p90_seconds is not None and reads.p99_seconds is not None:
        shares = zip(("p50", "p90", "p99"), (reads.p50_seconds, reads.p90_seconds, reads.p99_seconds), strict=True)
        waits = (
            ": "
            + ", ".join(f"{name} {_seconds(seconds)}" for name, seconds in shares)
            + f", at most {_seconds(reads.longest_seconds)}"
        )
    yield f"reads       {reads.answered_at_once} answered at once, {reads.waited} waited{waits}; {reads.failed} failed"
    yield f"served      {format_size(moved.served_bytes)}, {format_size(int(moved.served_bytes_per_second))}/s"
    times = "" if moved.fetched_per_wanted is None else f", {moved.fetched_per_wanted:.2f} times what was wanted"
    yield f"fetched     {format_size(moved.fetched_bytes)}, {format_size(int(moved.fetched_bytes_per_second))}/s{times}"
    under_way = (
        f"{moved.requests_for_readers} for readers, {moved.requests_ahead} ahead, {moved.requests_in_background} in background"
    )
    ahead = f"{format_size(moved.ahead_bytes)} of {format_size(moved.ahead_limit_bytes)} ahead of readers"
    yield f"requests    {under_way}, {moved.requests_waiting} held; {moved.streams} at once pay; {ahead}"
    guessed = f"{format_size(start.guessed_bytes)} guessed, of which {format_size(start.wasted_bytes)} were never read"
    filled = f", {format_size(start.filled_bytes)} filled" if start.filled_bytes else ""
    readable = f"readable after {_seconds(start.readable_seconds)}"
    yield f"cold start  {readable}; {format_size(start.wanted_bytes)} wanted, {guessed}{filled} (prefetch {report.prefetch})"
    size = "?" if cache.size_bytes is None else format_size(cache.size_bytes)
    limit = "" if cache.size_limit_bytes is None else f" of {format_size(cache.size_limit_bytes)}"
    free = "" if cache.disk_free_bytes is None else f", {format_size(cache.disk_free_bytes)} free on its disk"
    yield f"cache       {printable(cache.path)}: {size}{limit}{free}, {cache.evicted} evicted, {cache.damaged} damaged"
    if report.registry is not None:
        asked = report.registry
        held = f"{asked.retries} retries, {asked.held_back} held back" + (
            f", aside: {printable(' '.join(asked.hosts_aside))}" if asked.hosts_aside else ""
        )
        yield f"registry    {asked.requests} requests, {format_size(asked.received_bytes)}, {held}"
    read_ahead = "?" if kernel.read_ahead_bytes is None else format_size(kernel.read_ahead_bytes)
    background = "?" if kernel.max_background is None else str(kernel.max_background)
    yield f"kernel      max_background {background}, read_ahead {read_ahead}"


def _artifact(artifact: ArtifactReport, at: datetime) -> Iterator[str]:
    yield ""
    yield printable(artifact.reference)
    chosen = "" if artifact.index_digest is None else f", chosen from index {artifact.index_digest}"
    yield f"  {artifact.digest}, {printable(artifact.format)}{chosen}"
    yield f"  resolved {_clock(artifact.resolved_at)}{_tag(artifact, at)}"
    rows = [("LAYER", "SIZE", "PROOF", "CACHED", "WANTED", "FETCHED", "WAIT", ""), *map(_layer, artifact.layers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{field:<{width}}" for field, width in zip(row, widths, strict=True)).rstrip()


def _link(link: LinkReport) -> str:
    refused = "" if link.refused_digest is None else f"; refused: {link.refused_digest}, {printable(link.reason)}"
    return f"{printable(link.tag)} → {link.digest or 'nothing'}{refused}"


def _tag(artifact: ArtifactReport, at: datetime) -> str:
    tag = artifact.tag
    if tag is None:
        return ""
    name = printable(tag.tag)
    if tag.moved and tag.moved_at is not None:
        return f"; tag {name} moved to {tag.digest}, seen {_clock(tag.moved_at)}: what is shown stays"
    asked = "" if tag.asked_at is None else f" {format_duration((at - tag.asked_at).total_seconds())} ago"
    return f"; tag {name} {'not asked since' if tag.asked_at is None else 'means the same'}{asked}"


def _layer(layer: LayerReport) -> tuple[str, ...]:
    marks = [
        "names provisional" if layer.provisional else "",
        f"{format_size(layer.received_bytes)} received" if layer.received_bytes else "",
        f"{format_size(layer.wasted_bytes)} guessed in vain" if layer.wasted_bytes else "",
        "the cache has no room" if layer.refused_by_cache and not layer.complete else "",
    ]
    return (
        printable(layer.label),
        format_size(layer.size_bytes),
        layer.proof,
        "all" if layer.complete else format_size(layer.cached_bytes),
        format_size(layer.wanted_bytes),
        format_size(layer.fetched_bytes),
        str(layer.waiting),
        ", ".join(mark for mark in marks if mark),
    )


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        yield from (f"  {line}" for line in lines)


def _wait(wait: WaitReport) -> str:
    come = ""
    if wait.size_bytes:
        hosts = f" from {printable(', '.join(wait.hosts))}" if wait.hosts else ""
        come = f": {format_size(wait.received_bytes)} of {format_size(wait.size_bytes)}{hosts}"
    what = f"{_place(wait.file, wait.start, wait.stop)}, for {_why(wait.waits_for, wait.layer)}"
    return f"{_seconds(wait.seconds):>12}  {what}{come}"


def _error(error: ErrorReport, at: datetime) -> str:
    ago = format_duration(max(0.0, (at - error.last_at).total_seconds()))
    times = f", {error.count} times" if error.count > 1 else ""
    failed = f", {error.reads_failed} reads failed" if error.reads_failed else ""
    where = printable(error.where)
    # `where` may name the layer and the host itself, as in "model w, from registry.test".
    others = [each for each in map(printable, (error.layer, error.host)) if each and f" {each}," not in f" {where},"]
    places = ", ".join([*others, *filter(None, [where])])
    return f"{ago} ago{times}{failed}: {printable(error.what)} ({places})"


def _why(cause: str, layer: str) -> str:
    return _WHY.get(cause, cause).format(layer=printable(layer) or "a layer")


def _place(file: str, start: int, stop: int) -> str:
    return f"{printable(file)} [{start}, {stop})"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else format_duration(seconds)


def _clock(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
