"""What this kernel can do for a mount: the size of its requests, hits out of the page cache, read-ahead, and its own deadlines."""

import re
from typing import Final, final

from msgspec import Struct

from mkfs.cache.page_cache import kernel_has_cachestat
from mkfs.fuse.connection import READ_AHEAD_KIB
from mkfs.service.doctor.finding import Finding, ok, warn
from mkfs.units import KIB, format_duration, format_size

_PAGE_BYTES: Final = 4096  # of the machines that models run on; others have larger ones, and larger requests with them
_PAGES: Final = READ_AHEAD_KIB * KIB // _PAGE_BYTES
_MAX_PAGES_SINCE: Final = (4, 20)  # FUSE_MAX_PAGES: before, a request has 32 pages at most (fs/fuse/fuse_i.h)
_OLD_REQUEST_BYTES: Final = 32 * _PAGE_BYTES
_LARGE_FOLIOS_SINCE: Final = (6, 16)
_SHORTEST_TIMEOUT_SECONDS: Final = 15  # FUSE_TIMEOUT_TIMER_FREQ, fs/fuse/fuse_i.h


@final
class Release(Struct, frozen=True):
    """`uname`: `release` is 6.1.0-13-amd64 or so."""

    system: str
    release: str
    machine: str


@final
class Requests(Struct, frozen=True):
    """`pages_limit`: fs.fuse.max_pages_limit, None before Linux 6.13, where it is fixed at 256."""

    release: str
    pages_limit: int | None


@final
class ReadAhead(Struct, frozen=True):
    """Whether read_ahead_kb of a new mount can be raised: root's, and /sys must be writable."""

    root: bool
    writable: bool


@final
class Timeouts(Struct, frozen=True):
    """fs.fuse.default_request_timeout and max_request_timeout, in seconds, 0: none; None: the kernel has no such thing. Ours: how
    long a read may wait.
    """

    default_seconds: int | None
    longest_seconds: int | None
    ours_seconds: float


def version_of(release: str) -> tuple[int, int]:
    """Major and minor number of a `uname -r`; the highest there is where it is unreadable."""
    found = re.match(r"(\d+)\.(\d+)", release, re.ASCII)
    return (int(found[1]), int(found[2])) if found else (1 << 30, 0)


def judge_release(facts: Release) -> Finding:
    """Which kernel, and what of it speeds a mount up."""
    what = f"{facts.system} {facts.release} {facts.machine}"
    version = version_of(facts.release)
    if facts.system == "Linux" and version < _MAX_PAGES_SINCE:
        return warn(f"{what}: requests of {format_size(_OLD_REQUEST_BYTES)} at most", "update to Linux 5.10 or newer")
    return ok(f"{what}{', large folios' if facts.system == 'Linux' and version >= _LARGE_FOLIOS_SINCE else ''}")


def judge_cachestat(release: str) -> Finding:
    """Whether a hit can be told without touching a disk (`cache.page_cache`)."""
    if kernel_has_cachestat(release):
        return ok("cachestat(2) tells what is in memory")
    return ok("no cachestat(2) before Linux 6.5; RWF_NOWAIT alone tells hits, and reads nothing on a miss there")


def judge_requests(facts: Requests) -> Finding:
    """How large one request to a mount may be."""
    if facts.pages_limit is not None and facts.pages_limit < _PAGES:
        text = f"requests have {format_size(facts.pages_limit * _PAGE_BYTES)} at most (fs.fuse.max_pages_limit {facts.pages_limit})"
        return warn(text, f"sudo sysctl -w fs.fuse.max_pages_limit={_PAGES}")
    if version_of(facts.release) < _MAX_PAGES_SINCE:
        return warn(f"requests have {format_size(_OLD_REQUEST_BYTES)} at most", "update to Linux 5.10 or newer")
    return ok(f"requests of up to {format_size((facts.pages_limit or _PAGES) * _PAGE_BYTES)}")


def judge_read_ahead(facts: ReadAhead) -> Finding:
    """How much the kernel asks for at once on behalf of readers of an mmap, or of small reads."""
    if facts.root and facts.writable:
        return ok(f"read_ahead_kb of a mount is raised to {READ_AHEAD_KIB}")
    why = "/sys is read-only" if facts.root else "only root may raise it"
    remedy = f'after mounting: echo {READ_AHEAD_KIB} | sudo tee "/sys/class/bdi/$(mountpoint -d DIR)/read_ahead_kb"'
    return warn(f"read_ahead_kb of a mount stays at 128 ({why}): sequential and mmap reads are two to four times slower", remedy)


def effective_timeout(facts: Timeouts) -> int:
    """What a server that asks for no timeout gets, as libfuse 3 before 3.18; 0: none (fs/fuse/inode.c, init_server_timeout)."""
    default, longest = facts.default_seconds or 0, facts.longest_seconds or 0
    if not default and not longest:
        return 0
    wanted = min(default, longest) if default and longest else default or longest
    return max(wanted, _SHORTEST_TIMEOUT_SECONDS)


def judge_timeouts(facts: Timeouts) -> Finding:
    """Whether the kernel ends a mount of which one read waits long: it aborts the connection, and all of it is ENOTCONN."""
    if facts.default_seconds is None and facts.longest_seconds is None:
        return ok("this kernel has no deadlines for FUSE requests")
    seconds = effective_timeout(facts)
    if not seconds:
        return ok("no deadlines for FUSE requests")
    text = f"the kernel aborts a whole mount when one request waits {format_duration(seconds)}"
    if seconds < facts.ours_seconds:
        remedy = "sudo sysctl -w fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0"
        return warn(f"{text}; a read of ours may wait {format_duration(facts.ours_seconds)} for bytes that still flow", remedy)
    return ok(f"{text}, later than --read-timeout")
